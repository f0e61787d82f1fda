"""Tasks for components in Python.

A task is a function that runs in an instance of its own, on whichever core is free. It sees nothing of its spawner's
memory: its arguments and its result travel as JSON.

    import hart
    from hart import Entry, Run

    @hart.task
    def square(number):
        return number * number

    @hart.main
    def main():
        tasks = [square.spawn(number) for number in range(10)]
        print([task.join() for task in tasks])

`Entry` and `Run` are what the component exports: the module that componentize-py is given must have them.

An exception that leaves a task reaches whoever joins it as `Failed`, with its text. One that leaves `main` is shown, and
the program ends with the exit code 1.
"""

import json
import sys
import traceback

from componentize_py_types import Err
from wit_world.imports import tasks as _tasks
from wit_world.imports.tasks import Rights

__all__ = [
    "Entry", "JoinError", "Run", "SpawnError", "Failed", "Trapped", "Cancelled", "Closed", "OutOfFuel", "OutOfMemory",
    "TimedOut", "AlreadyJoined", "Handle", "Rights", "Task", "close", "main", "map", "parallelism", "spawn", "task",
    "wait_any", "yield_now",
]

# What the bytes of an error begin with: what follows is an error of the task's own as JSON, a text, or a text that
# says that there is no such task. The Rust SDK has the same three.
_OWN, _TEXT, _NO_SUCH_TASK = b"\0", b"\1", b"\2"

_registered = {}
_main = []


class SpawnError(Exception):
    """A task was not started: the text says why."""


class JoinError(Exception):
    """A task has no result: see the classes below it."""


class Failed(JoinError):
    """The task raised an exception, of which this has the text; or, where it returned an error as JSON, `value` is that."""

    def __init__(self, text, value=None):
        super().__init__(text)
        self.value = value


class Trapped(JoinError):
    """The task trapped, or the interpreter in it."""


class Cancelled(JoinError):
    """It was cancelled, or the task that spawned it has ended."""


class Closed(JoinError):
    """A scope that it belongs to was closed."""


class OutOfFuel(JoinError):
    """It used all the fuel that it had."""


class OutOfMemory(JoinError):
    """It asked for more memory than it may use."""


class TimedOut(JoinError):
    """It ran into its timeout, or used all its CPU time."""


class AlreadyJoined(JoinError):
    """Its result was taken before."""


class Task:
    """A function that can be spawned. Called, it is the function that it was."""

    def __init__(self, function, name):
        self.__wrapped__ = function
        self.__doc__ = function.__doc__
        self.__name__ = self.name = name
        self._options = {}

    def __call__(self, *arguments):
        return self.__wrapped__(*arguments)

    def spawn(self, *arguments):
        """Starts it in a new instance, and returns its `Handle` at once."""
        return spawn(self.name, *arguments, **self._options)

    def options(self, **options):
        """The same task with options for its spawns: see `spawn`."""
        other = Task(self.__wrapped__, self.name)
        other._options = {**self._options, **options}
        return other


class Handle:
    """A task that was spawned. Dropped, the task goes on, and its result is lost."""

    def __init__(self, task):
        self._task = task

    @property
    def id(self):
        """A number that no other task of the host has."""
        return self._task.id()

    @property
    def done(self):
        """Whether it has ended. Never waits."""
        return self._task.is_finished()

    def join(self):
        """Waits until it has ended, and returns what it returned. Raises a `JoinError` where it has no result."""
        try:
            return json.loads(self._task.join())
        except Err as error:
            raise _join_error(error.value) from None

    def cancel(self):
        """Ends it and everything that it spawned."""
        self._task.cancel()


def task(function):
    """Makes a task of a function of the module: `@hart.task`. Its name is the function's."""
    name = function.__name__
    if name in _registered:
        raise ValueError(f"two tasks are called `{name}`: name one of them otherwise")
    _registered[name] = made = Task(function, name)
    return made


def main(function):
    """Makes a function the program: `@hart.main`. An int that it returns is the exit code."""
    if _main:
        raise ValueError(f"`{_main[0].__name__}` is the main function already")
    _main.append(function)
    return function


def spawn(entry, *arguments, name=None, cpu_time=None, fuel=None, memory=None, timeout=None, max_tasks=None, deny=None,
          reuse=False, anywhere=False):
    """Starts the task called `entry`, which may be one of another part of the component, in another language.

    `cpu_time` and `timeout` are seconds, `memory` is bytes, `deny` is of `Rights`. `reuse` allows the task an instance
    that another task of this run has left as it was. `anywhere` lets it run on another machine, where this one is busy.
    """
    options = _tasks.TaskOptions()
    if name is not None:
        options.set_name(name)
    if cpu_time is not None:
        options.set_cpu_time(_nanoseconds(cpu_time))
    if fuel is not None:
        options.set_fuel(fuel)
    if memory is not None:
        options.set_memory(memory)
    if timeout is not None:
        options.set_timeout(_nanoseconds(timeout))
    if max_tasks is not None:
        options.set_max_tasks(max_tasks)
    if deny is not None:
        options.deny(deny)
    if reuse:
        options.reuse()
    if anywhere:
        options.anywhere()
    try:
        return Handle(_tasks.spawn(entry, _encode(arguments), options))
    except Err as error:
        raise _spawn_error(entry, error.value) from None


def map(task, arguments):
    """Runs the task for each of `arguments`, a few for each worker at a time, and yields the results in their order."""
    most = 2 * parallelism()
    running = []
    for argument in arguments:
        if len(running) == most:
            yield running.pop(0).join()
        running.append(task.spawn(argument))
    for handle in running:
        yield handle.join()


def wait_any(handles):
    """Waits until one of the tasks has ended, and returns its handle."""
    handles = list(handles)
    if not handles:
        raise ValueError("there is no task to wait for")
    return handles[_tasks.wait_any([handle._task for handle in handles])]


def yield_now():
    """Lets others run."""
    _tasks.yield_()


def close():
    """Cancels everything that the caller has spawned. It cannot spawn any more."""
    _tasks.close()


def parallelism():
    """How many workers there are for these tasks."""
    return _tasks.parallelism()


class Entry:
    """What the component exports so that its tasks can be spawned."""

    def run(self, entry, input):
        task = _registered.get(entry)
        if task is None:
            raise Err(_NO_SUCH_TASK + f"there is no task `{entry}`; it has {sorted(_registered)}".encode())
        try:
            arguments = json.loads(input)
        except ValueError as error:
            raise Err(_TEXT + f"its arguments are no JSON ({error}): is the spawner of another encoding?".encode()) from None
        try:
            return _encode(task(*arguments))
        except Exception as error:
            raise Err(_TEXT + "".join(traceback.format_exception_only(error)).strip().encode()) from None


class Run:
    """What the component exports so that it can be run."""

    def run(self):
        if not _main:
            print("hart: no function is marked `@hart.main`", file=sys.stderr)
            raise Err(None)
        try:
            code = _main[0]()
        except Exception:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        if code:
            _tasks.exit(code & 0xFF)


def _encode(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _nanoseconds(seconds):
    return round(seconds * 1_000_000_000)


def _spawn_error(entry, error):
    match error:
        case _tasks.SpawnError_Closed():
            text = "the scope of the caller is closed"
        case _tasks.SpawnError_NoEntry():
            text = "the component exports no hart:exec/entry: the module lacks `Entry`"
        case _:
            text = error.value
    return SpawnError(f"`{entry}` was not spawned: {text}")


def _join_error(error):
    match error:
        case _tasks.JoinError_Failed(value):
            kind, rest = value[:1], value[1:]
            if kind == _OWN:
                try:
                    own = json.loads(rest)
                except ValueError:
                    return Failed("its error is no JSON: is the task of another encoding?")
                return Failed(str(own), own)
            if kind in (_TEXT, _NO_SUCH_TASK):
                return Failed(rest.decode(errors="replace"))
            return Failed("its error is in no encoding that this module knows")
        case _tasks.JoinError_Trapped(text):
            return Trapped(text)
        case _tasks.JoinError_Cancelled():
            return Cancelled("it was cancelled")
        case _tasks.JoinError_Closed():
            return Closed("a scope that it belongs to was closed")
        case _tasks.JoinError_OutOfFuel():
            return OutOfFuel("it used all its fuel")
        case _tasks.JoinError_OutOfMemory():
            return OutOfMemory("it asked for more memory than it may use")
        case _tasks.JoinError_TimedOut():
            return TimedOut("it ran into its limit of time")
        case _tasks.JoinError_AlreadyJoined():
            return AlreadyJoined("its result was taken before")
        case _:
            return JoinError(error.value)
