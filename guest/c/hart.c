// What hart.h declares: the contract hart:exec/tasks by the canonical ABI of components, for 32-bit wasm.
#include "hart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASKS(name) __attribute__((import_module("hart:exec/tasks@0.1.0"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

// What the bytes of an error begin with, as in the SDKs of other languages.
enum { TEXT = 1, NO_SUCH_TASK = 2 };

// === Imports ===

// A result: whether it is an error, then a handle, a list, or the variant of the error and its payload.
typedef struct {
    uint8_t is_error;
    union {
        int32_t handle;
        hart_bytes bytes;
        struct {
            uint8_t kind;
            hart_bytes bytes;
        } error;
    } value;
} answer;

TASKS("spawn") void import_spawn(const char *, size_t, const void *, size_t, int32_t, int32_t, answer *);
TASKS("yield") void import_yield(void);
TASKS("close") void import_close(void);
TASKS("parallelism") int32_t import_parallelism(void);
TASKS("wait-any") int32_t import_wait_any(const hart_handle *, size_t);
TASKS("exit") void import_exit(int32_t);
TASKS("[method]task.id") int64_t import_id(int32_t);
TASKS("[method]task.is-finished") int32_t import_is_finished(int32_t);
TASKS("[method]task.join") void import_join(int32_t, answer *);
TASKS("[method]task.cancel") void import_cancel(int32_t);
TASKS("[resource-drop]task") void import_drop(int32_t);
TASKS("[constructor]task-options") int32_t import_options(void);
TASKS("[resource-drop]task-options") void import_drop_options(int32_t);
TASKS("[method]task-options.set-name") void import_set_name(int32_t, const char *, size_t);
TASKS("[method]task-options.set-fuel") void import_set_fuel(int32_t, int64_t);
TASKS("[method]task-options.set-cpu-time") void import_set_cpu_time(int32_t, int64_t);
TASKS("[method]task-options.set-memory") void import_set_memory(int32_t, int64_t);
TASKS("[method]task-options.set-timeout") void import_set_timeout(int32_t, int64_t);
TASKS("[method]task-options.set-max-tasks") void import_set_max_tasks(int32_t, int32_t);
TASKS("[method]task-options.deny") void import_deny(int32_t, int32_t);
TASKS("[method]task-options.reuse") void import_reuse(int32_t);
TASKS("[method]task-options.anywhere") void import_anywhere(int32_t);

static int32_t options_of(const hart_options *given) {
    int32_t options = import_options();
    if (given->name) import_set_name(options, given->name, strlen(given->name));
    if (given->cpu_time) import_set_cpu_time(options, (int64_t)given->cpu_time);
    if (given->timeout) import_set_timeout(options, (int64_t)given->timeout);
    if (given->fuel) import_set_fuel(options, (int64_t)given->fuel);
    if (given->memory) import_set_memory(options, (int64_t)given->memory);
    if (given->max_tasks) import_set_max_tasks(options, (int32_t)given->max_tasks);
    if (given->deny) import_deny(options, given->deny);
    if (given->reuse) import_reuse(options);
    if (given->anywhere) import_anywhere(options);
    return options;
}

hart_spawn_error hart_spawn(hart_handle *task, const char *entry, const void *input, size_t size,
                            const hart_options *options, hart_bytes *why) {
    answer answer;
    int32_t given = options ? options_of(options) : 0;
    import_spawn(entry, strlen(entry), input, size, options != NULL, given, &answer);
    if (options) import_drop_options(given);
    if (!answer.is_error) {
        task->handle = answer.value.handle;
        return HART_SPAWNED;
    }
    bool has_text = answer.value.error.kind >= HART_SPAWN_LIMIT;
    hart_bytes text = has_text ? answer.value.error.bytes : (hart_bytes){0};
    if (why) *why = text;
    else free(text.data);
    return (hart_spawn_error)answer.value.error.kind;
}

hart_join_error hart_join(hart_handle task, hart_bytes *output) {
    answer answer;
    import_join(task.handle, &answer);
    if (!answer.is_error) {
        *output = answer.value.bytes;
        return HART_OK;
    }
    hart_join_error kind = (hart_join_error)answer.value.error.kind;
    bool has_bytes = kind == HART_FAILED || kind == HART_TRAPPED || kind == HART_OTHER;
    *output = has_bytes ? answer.value.error.bytes : (hart_bytes){0};
    return kind;
}

size_t hart_wait_any(const hart_handle *tasks, size_t count) {
    return (size_t)import_wait_any(tasks, count);
}

bool hart_is_finished(hart_handle task) { return import_is_finished(task.handle); }
uint64_t hart_id(hart_handle task) { return (uint64_t)import_id(task.handle); }
void hart_cancel(hart_handle task) { import_cancel(task.handle); }
void hart_drop(hart_handle task) { import_drop(task.handle); }
void hart_yield(void) { import_yield(); }
void hart_close(void) { import_close(); }
uint32_t hart_parallelism(void) { return (uint32_t)import_parallelism(); }

_Noreturn void hart_exit(uint8_t code) {
    fflush(NULL);
    import_exit(code);
    __builtin_unreachable();
}

void hart_put(hart_bytes *output, const void *data, size_t size) {
    // One byte at least: `malloc` may have no memory for none.
    output->data = malloc(size ? size : 1);
    if (!output->data) abort();
    memcpy(output->data, data, size);
    output->size = size;
}

static bool fail(uint8_t kind, const char *before, const char *text, const char *after, hart_bytes *output) {
    size_t size = 1 + strlen(before) + strlen(text) + strlen(after);
    char *bytes = malloc(size + 1);
    if (!bytes) abort();
    snprintf(bytes, size + 1, "%c%s%s%s", kind, before, text, after);
    *output = (hart_bytes){(uint8_t *)bytes, size};
    return false;
}

bool hart_fail(hart_bytes *output, const char *text) { return fail(TEXT, "", text, "", output); }

bool hart_no_such_task(const char *entry, hart_bytes *output) {
    return fail(NO_SUCH_TASK, "there is no task `", entry, "`", output);
}

// === Exports ===

// The host asks for memory for what it passes.
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    (void)old_size;
    if (!size) return (void *)align;
    // `malloc` aligns to 8 and more, and nothing in the contract needs more.
    void *memory = realloc(old, size);
    if (!memory) abort();
    return memory;
}

EXPORT("wasi:cli/run@0.2.0#run") int32_t export_run(void) {
    int code = hart_main();
    fflush(NULL);
    if (code) import_exit(code & 0xff);
    return 0;
}

EXPORT("hart:exec/entry@0.1.0#run")
answer *export_entry(char *entry, size_t length, uint8_t *data, size_t size) {
    // An instance has one such call at a time.
    static answer answer;
    char *name = malloc(length + 1);
    if (!name) abort();
    memcpy(name, entry, length);
    name[length] = 0;
    hart_bytes output = {0};
    answer.is_error = !hart_task(name, (hart_bytes){data, size}, &output);
    answer.value.bytes = output;
    fflush(NULL);
    free(name);
    if (length) free(entry);
    if (size) free(data);
    return &answer;
}

EXPORT("cabi_post_hart:exec/entry@0.1.0#run") void after_entry(answer *answer) {
    free(answer->value.bytes.data);
}

// The world `command` of hart:exec, from which a component is made of the linked module.
__asm__(".section \".custom_section.component-type:hart\",\"\",@\n"
        ".ascii \"\\000asm\\015\\000\\001\\000\\000\\031\\026wit-component-encoding\\004\\000\\007\\370\\011\\001\"\n"
        ".ascii \"A\\002\\001A\\006\\001B8\\004\\000\\014task-options\\003\\001\\001n\\006\\012filesystem\\020fil\"\n"
        ".ascii \"esystem-write\\007network\\013environment\\006output\\005spawn\\004\\000\\006rights\\003\\000\"\n"
        ".ascii \"\\001\\004\\000\\004task\\003\\001\\001q\\005\\006closed\\000\\000\\010no-entry\\000\\000\\005l\"\n"
        ".ascii \"imit\\001s\\000\\006denied\\001s\\000\\005other\\001s\\000\\004\\000\\013spawn-error\\003\\000\"\n"
        ".ascii \"\\004\\001p}\\001q\\011\\006failed\\001\\006\\000\\007trapped\\001s\\000\\011cancelled\\000\"\n"
        ".ascii \"\\000\\006closed\\000\\000\\013out-of-fuel\\000\\000\\015out-of-memory\\000\\000\\011timed-out\"\n"
        ".ascii \"\\000\\000\\016already-joined\\000\\000\\005other\\001s\\000\\004\\000\\012join-error\\003\\000\"\n"
        ".ascii \"\\007\\001i\\000\\001@\\000\\000\\011\\004\\000\\031[constructor]task-options\\001\\012\\001h\"\n"
        ".ascii \"\\000\\001@\\002\\004self\\013\\004names\\001\\000\\004\\000\\035[method]task-options.set-name\"\n"
        ".ascii \"\\001\\014\\001@\\002\\004self\\013\\005unitsw\\001\\000\\004\\000\\035[method]task-options.set\"\n"
        ".ascii \"-fuel\\001\\015\\001@\\002\\004self\\013\\013nanosecondsw\\001\\000\\004\\000![method]task-opti\"\n"
        ".ascii \"ons.set-cpu-time\\001\\016\\001@\\002\\004self\\013\\005bytesw\\001\\000\\004\\000\\037[method]\"\n"
        ".ascii \"task-options.set-memory\\001\\017\\004\\000 [method]task-options.set-timeout\\001\\016\\001@\"\n"
        ".ascii \"\\002\\004self\\013\\005county\\001\\000\\004\\000\\042[method]task-options.set-max-tasks\\001\"\n"
        ".ascii \"\\020\\001@\\002\\004self\\013\\006rights\\002\\001\\000\\004\\000\\031[method]task-options.den\"\n"
        ".ascii \"y\\001\\021\\001@\\001\\004self\\013\\001\\000\\004\\000\\032[method]task-options.reuse\\001\"\n"
        ".ascii \"\\022\\004\\000\\035[method]task-options.anywhere\\001\\022\\001h\\003\\001@\\001\\004self\\023\"\n"
        ".ascii \"\\000w\\004\\000\\017[method]task.id\\001\\024\\001@\\001\\004self\\023\\000\\177\\004\\000\"\n"
        ".ascii \"\\030[method]task.is-finished\\001\\025\\001j\\001\\006\\001\\010\\001@\\001\\004self\\023\\000\"\n"
        ".ascii \"\\026\\004\\000\\021[method]task.join\\001\\027\\001@\\001\\004self\\023\\001\\000\\004\\000\"\n"
        ".ascii \"\\023[method]task.cancel\\001\\030\\001k\\013\\001i\\003\\001j\\001\\032\\001\\005\\001@\\003\"\n"
        ".ascii \"\\005entrys\\005input\\006\\007options\\031\\000\\033\\004\\000\\005spawn\\001\\034\\001@\\000\"\n"
        ".ascii \"\\001\\000\\004\\000\\005yield\\001\\035\\004\\000\\005close\\001\\035\\001@\\000\\000y\\004\"\n"
        ".ascii \"\\000\\013parallelism\\001\\036\\001p\\023\\001@\\001\\005tasks\\037\\000y\\004\\000\\010wait-a\"\n"
        ".ascii \"ny\\001 \\001@\\001\\004code}\\001\\000\\004\\000\\004exit\\001!\\001@\\001\\004texts\\001\\000\"\n"
        ".ascii \"\\004\\000\\014explain-trap\\001\\042\\003\\000\\025hart:exec/tasks@0.1.0\\005\\000\\001B\\003\"\n"
        ".ascii \"\\001j\\000\\000\\001@\\000\\000\\000\\004\\000\\003run\\001\\001\\004\\000\\022wasi:cli/run@0.\"\n"
        ".ascii \"2.0\\005\\001\\001B\\004\\001p}\\001j\\001\\000\\001\\000\\001@\\002\\005entrys\\005input\\000\"\n"
        ".ascii \"\\000\\001\\004\\000\\003run\\001\\002\\004\\000\\025hart:exec/entry@0.1.0\\005\\002\\004\\000\"\n"
        ".ascii \"\\027hart:exec/command@0.1.0\\004\\000\\013\\015\\001\\000\\007command\\003\\000\\000\\000/\"\n"
        ".ascii \"\\011producers\\001\\014processed-by\\001\\015wit-component\\0070.254.2\"\n"
        ".text\n");
