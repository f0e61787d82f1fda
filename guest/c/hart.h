// Tasks for components in C: each runs in an instance of its own, on whichever core is free. It sees nothing of its
// spawner's memory. Bytes go in, bytes come out; what they mean is up to the program.
//
// A program includes this, is linked with hart.c, and defines `hart_main` and `hart_task`.
#ifndef HART_H
#define HART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Memory from `malloc`, to be freed by whoever has it.
typedef struct {
    uint8_t *data;
    size_t size;
} hart_bytes;

// A task that was spawned.
typedef struct {
    int32_t handle;
} hart_handle;

// Why a task has no result.
typedef enum {
    HART_OK = -1,
    HART_FAILED,          // `hart_task` returned false: the bytes are what it left
    HART_TRAPPED,         // the bytes are a text
    HART_CANCELLED,
    HART_CLOSED,
    HART_OUT_OF_FUEL,
    HART_OUT_OF_MEMORY,
    HART_TIMED_OUT,
    HART_ALREADY_JOINED,
    HART_OTHER,           // the bytes are a text
} hart_join_error;

// Why a task was not spawned.
typedef enum {
    HART_SPAWNED = -1,
    HART_SPAWN_CLOSED,
    HART_SPAWN_NO_ENTRY,
    HART_SPAWN_LIMIT,     // for these three, `why` is a text
    HART_SPAWN_DENIED,
    HART_SPAWN_OTHER,
} hart_spawn_error;

// How a task is to run. What is 0 is not set.
typedef struct {
    const char *name;     // for traces and messages
    uint64_t cpu_time;    // nanoseconds
    uint64_t timeout;     // nanoseconds
    uint64_t fuel;
    uint64_t memory;      // bytes
    uint32_t max_tasks;   // that it and everything below it may have at the same time
    uint8_t deny;         // of hart_deny
    bool reuse;           // it may have an instance that another task of this run has left as it was
    bool anywhere;        // it may run on another machine, where this one is busy
} hart_options;

// What a task may be denied.
enum hart_deny {
    HART_DENY_FILESYSTEM = 1,
    HART_DENY_FILESYSTEM_WRITE = 2,
    HART_DENY_NETWORK = 4,
    HART_DENY_ENVIRONMENT = 8,
    HART_DENY_OUTPUT = 16,
    HART_DENY_SPAWN = 32,
};

// === What the program defines ===

// The program. What it returns is the exit code.
int hart_main(void);

// Runs the task called `entry`. `output` is empty; what is put there reaches whoever joins: the result if this returns
// true, else the error. It is freed later. For a name that is not known, return `hart_no_such_task(entry, output)`.
bool hart_task(const char *entry, hart_bytes input, hart_bytes *output);

// === What it may call ===

// Starts a task in a new instance of this component, with a copy of `input`. `options` and `why` may be NULL.
hart_spawn_error hart_spawn(hart_handle *task, const char *entry, const void *input, size_t size,
                            const hart_options *options, hart_bytes *why);

// Waits until the task has ended; its result or its error is in `output`.
hart_join_error hart_join(hart_handle task, hart_bytes *output);

// Waits until one of the tasks has ended, and says which. There must be one.
size_t hart_wait_any(const hart_handle *tasks, size_t count);

bool hart_is_finished(hart_handle task); // never waits
uint64_t hart_id(hart_handle task);
void hart_cancel(hart_handle task);      // ends it and everything that it spawned
void hart_drop(hart_handle task);        // gives the handle back: the task goes on
void hart_yield(void);                   // lets others run
void hart_close(void);                   // cancels everything that the caller has spawned
uint32_t hart_parallelism(void);         // workers that there are for these tasks
_Noreturn void hart_exit(uint8_t code);

// Puts a copy of `size` bytes into `output`.
void hart_put(hart_bytes *output, const void *data, size_t size);

// The error of a task that failed with a text, and that of one that does not exist. Both return false.
bool hart_fail(hart_bytes *output, const char *text);
bool hart_no_such_task(const char *entry, hart_bytes *output);

#endif
