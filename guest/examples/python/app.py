"""What tasks in Python can do: results, errors that cross, limits, maps, and a task that spawns."""

import hart
from hart import Entry, Run


@hart.task
def count_primes(start, end):
    return sum(1 for number in range(start, end) if is_prime(number))


def is_prime(number):
    return number >= 2 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


@hart.task
def words(text):
    """A value with a structure, and text that is not ASCII."""
    counts = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    return counts


@hart.task
def halves(start, end):
    """Spawns tasks itself."""
    middle = (start + end) // 2
    parts = [count_primes.spawn(start, middle), count_primes.spawn(middle, end)]
    return sum(part.join() for part in parts)


@hart.task
def fails(text):
    raise ValueError(text)


@hart.task
def spins():
    while True:
        pass


def said(handle):
    try:
        return handle.join()
    except hart.JoinError as error:
        return f"{type(error).__name__}: {error}"


@hart.main
def main():
    limit, step = 20_000, 2_000
    tasks = [count_primes.spawn(start, start + step) for start in range(0, limit, step)]
    print(sum(task.join() for task in tasks), "primes below", limit)
    print(halves.spawn(0, 10_000).join(), "in two halves")
    print(said(words.spawn("för för ett")))
    print(list(hart.map(words, ["a b", "c"])))
    print(said(fails.spawn("no luck")))
    print(said(hart.spawn("nobody")))
    print(said(spins.options(timeout=0.2, name="spinner").spawn()))
    spinner = spins.spawn()
    quick = count_primes.spawn(0, 10)
    print(hart.wait_any([spinner, quick]) is quick, quick.done, quick.join())
    spinner.cancel()
    print(said(spinner))
    print(said(spinner))
    try:
        spins.options(max_tasks=1, deny=hart.Rights.SPAWN).spawn(object())
    except TypeError as error:
        print("TypeError:", error)
    print(said(halves.options(deny=hart.Rights.SPAWN).spawn(0, 10)))
    return 3
