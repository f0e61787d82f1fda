// What tasks in JavaScript can do: results, errors that cross, limits, and a task that spawns.

import { Handle, JoinError, SpawnError, entry, main, run, spawn, task } from "./hart.js";
export { entry, run };

const countPrimes = task("count-primes", (start, end) => {
  let count = 0;
  for (let number = start; number < end; number++) {
    if (isPrime(number)) count++;
  }
  return count;
});

function isPrime(number) {
  for (let divisor = 2; divisor * divisor <= number; divisor++) {
    if (number % divisor === 0) return false;
  }
  return number >= 2;
}

// A value with a structure, and text that is not ASCII.
const words = task("words", (text) => {
  const counts = {};
  for (const word of text.split(" ")) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
});

// Spawns tasks itself.
const halves = task("halves", async (start, end) => {
  const middle = Math.floor((start + end) / 2);
  const parts = [countPrimes.spawn(start, middle), countPrimes.spawn(middle, end)];
  return (await parts[0].join()) + (await parts[1].join());
});

const fails = task("fails", async (text) => {
  throw new TypeError(text);
});

const spins = task("spins", () => {
  for (;;);
});

async function said(handle) {
  try {
    return JSON.stringify(await handle.join());
  } catch (error) {
    if (!(error instanceof JoinError)) throw error;
    return `${error.kind}: ${error.message}`;
  }
}

main(async () => {
  const [limit, step] = [20_000, 2_000];
  const tasks = [];
  for (let start = 0; start < limit; start += step) tasks.push(countPrimes.spawn(start, start + step));
  const counts = await Promise.all(tasks.map((task) => task.join()));
  console.log(`${counts.reduce((sum, count) => sum + count)} primes below ${limit}`);
  console.log(`${await halves.spawn(0, 10_000).join()} in two halves`);
  console.log(await said(words.spawn("för för ett")));
  console.log(await said(fails.spawn("no luck")));
  console.log(await said(spawn("nobody", [])));
  console.log(await said(spins.with({ timeout: 0.2, name: "spinner" }).spawn()));
  const spinner = spins.spawn();
  const quick = countPrimes.spawn(0, 10);
  console.log((await Handle.any([spinner, quick])) === quick, quick.done, await quick.join());
  spinner.cancel();
  console.log(await said(spinner));
  console.log(await said(spinner));
  console.log(await said(halves.with({ deny: { spawn: true } }).spawn(0, 10)));
  return 3;
});
