// What tasks in C can do: results, errors that cross, limits, and a task that spawns.
#include "hart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint32_t start, end;
} range;

static bool is_prime(uint32_t number) {
    for (uint32_t divisor = 2; divisor * divisor <= number; divisor++)
        if (number % divisor == 0) return false;
    return number >= 2;
}

static uint32_t primes_in(range range) {
    uint32_t count = 0;
    for (uint32_t number = range.start; number < range.end; number++) count += is_prime(number);
    return count;
}

static hart_handle spawn(const char *entry, range range, const hart_options *options) {
    hart_handle task;
    hart_bytes why;
    if (hart_spawn(&task, entry, &range, sizeof range, options, &why) != HART_SPAWNED) {
        fprintf(stderr, "not spawned: %.*s\n", (int)why.size, (char *)why.data);
        hart_exit(1);
    }
    return task;
}

static uint32_t joined(hart_handle task) {
    hart_bytes output;
    uint32_t count = 0;
    if (hart_join(task, &output) != HART_OK || output.size != sizeof count) {
        fprintf(stderr, "no result\n");
        hart_exit(1);
    }
    memcpy(&count, output.data, sizeof count);
    free(output.data);
    hart_drop(task);
    return count;
}

// Spawns tasks itself.
static uint32_t halves(range whole) {
    uint32_t middle = (whole.start + whole.end) / 2;
    hart_handle left = spawn("count-primes", (range){whole.start, middle}, NULL);
    hart_handle right = spawn("count-primes", (range){middle, whole.end}, NULL);
    return joined(left) + joined(right);
}

bool hart_task(const char *entry, hart_bytes input, hart_bytes *output) {
    range range;
    if (input.size != sizeof range) return hart_fail(output, "the input is no range");
    memcpy(&range, input.data, sizeof range);
    uint32_t count;
    if (!strcmp(entry, "count-primes")) count = primes_in(range);
    else if (!strcmp(entry, "halves")) count = halves(range);
    else if (!strcmp(entry, "fails")) return hart_fail(output, "no luck");
    else return hart_no_such_task(entry, output);
    hart_put(output, &count, sizeof count);
    return true;
}

static void say(hart_handle task) {
    static const char *const names[] = {
        "failed", "trapped", "cancelled", "closed", "out of fuel", "out of memory", "timed out", "already joined", "other",
    };
    hart_bytes output;
    hart_join_error error = hart_join(task, &output);
    // The first byte says what the text is of.
    if (error == HART_FAILED) printf("failed: %.*s\n", (int)output.size - 1, (char *)output.data + 1);
    else puts(error == HART_OK ? "it ended well" : names[error]);
    free(output.data);
}

int hart_main(void) {
    enum { LIMIT = 20000, STEP = 2000, TASKS = LIMIT / STEP };
    const range endless = {0, 4000000000};
    hart_handle tasks[TASKS];
    for (uint32_t i = 0; i < TASKS; i++) tasks[i] = spawn("count-primes", (range){i * STEP, (i + 1) * STEP}, NULL);
    uint32_t total = 0;
    for (int i = 0; i < TASKS; i++) total += joined(tasks[i]);
    printf("%u primes below %d\n", total, LIMIT);
    printf("%u in two halves\n", joined(spawn("halves", (range){0, 10000}, NULL)));
    say(spawn("fails", endless, NULL));
    say(spawn("nobody", endless, NULL));
    say(spawn("count-primes", endless, &(hart_options){.timeout = 200000000, .name = "spinner"}));
    hart_handle both[] = {spawn("count-primes", endless, NULL), spawn("count-primes", (range){0, 10}, NULL)};
    size_t first = hart_wait_any(both, 2);
    printf("%zu %d %u\n", first, hart_is_finished(both[1]), joined(both[1]));
    hart_cancel(both[0]);
    say(both[0]);
    say(both[0]);
    hart_handle task;
    if (hart_spawn(&task, "halves", NULL, 0, &(hart_options){.deny = HART_DENY_SPAWN}, NULL) == HART_SPAWNED) say(task);
    return 3;
}
