"""The emulated phone's shell: runs what `syntax` parsed, with the builtins of mksh that hosts use.

Programs come from `phone.programs`, then from `toybox`. What neither knows ends with status 127 and an entry in
`phone.gaps`.
"""

from __future__ import annotations

import asyncio
import fnmatch
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bridge.emulated import toybox
from bridge.emulated.phone import Phone, PipeWriter
from bridge.emulated.program import Program
from bridge.emulated.syntax import (
    For,
    Group,
    If,
    Loop,
    Node,
    Pipeline,
    Redirect,
    Script,
    ShellSyntaxError,
    Simple,
    Word,
    parse,
)

_HANGUP = 129
_KILLED = 137
_NOT_EXECUTABLE = 126
_NOT_FOUND = 127
_BIN = ("/system/bin/", "/system/xbin/", "/vendor/bin/", "/bin/")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", "0": "\0"}

Sink = Callable[[bytes | bytearray | memoryview], Awaitable[None]]


class Source(Protocol):
    async def read(self, n: int = -1) -> bytes: ...

    async def readline(self) -> bytes: ...


class Nothing:
    """An empty standard input."""

    async def read(self, n: int = -1) -> bytes:
        return b""

    async def readline(self) -> bytes:
        return b""


class Buffered:
    """Standard input out of a StreamReader. A line longer than its limit comes in pieces."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def read(self, n: int = -1) -> bytes:
        return await self._reader.read(n)

    async def readline(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            return end.partial
        except asyncio.LimitOverrunError as long:
            return await self._reader.read(long.consumed)


async def discard(data: bytes | bytearray | memoryview) -> None:
    """The sink of /dev/null."""


@dataclass(slots=True)
class Streams:
    """Standard input, output and error of a command."""

    stdin: Source
    stdout: Sink
    stderr: Sink


@dataclass(slots=True)
class ProcessIo:
    """`Io` of one program."""

    argv: list[str]
    env: dict[str, str]
    hangup: asyncio.Event
    streams: Streams

    async def read(self, n: int = -1) -> bytes:
        return await self.streams.stdin.read(n)

    async def readline(self) -> bytes:
        return await self.streams.stdin.readline()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await self.streams.stdout(data)

    async def error(self, data: bytes) -> None:
        await self.streams.stderr(data)


class _Exit(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def fresh_environment(phone: Phone) -> dict[str, str]:
    """The environment of a shell that adbd starts."""
    return {
        "ANDROID_DATA": "/data",
        "ANDROID_ROOT": "/system",
        "EXTERNAL_STORAGE": "/sdcard",
        "HOME": "/",
        "HOSTNAME": phone.profile.device,
        "LOGNAME": "shell",
        "PATH": "/product/bin:/apex/com.android.runtime/bin:/system/bin:/system/xbin:/vendor/bin",
        "PWD": "/",
        "SHELL": "/bin/sh",
        "TMPDIR": "/data/local/tmp",
        "USER": "shell",
    }


@dataclass(slots=True)
class Shell:
    """One shell process. `run` interprets a script and returns its exit status; BrokenPipeError after a hang-up."""

    phone: Phone
    streams: Streams
    hangup: asyncio.Event
    variables: dict[str, str] = field(default_factory=dict)
    exported: set[str] = field(default_factory=set)
    status: int = 0
    pid: int = 0

    @classmethod
    def login(cls, phone: Phone, streams: Streams, hangup: asyncio.Event, pid: int = 0) -> Shell:
        environment = fresh_environment(phone)
        return cls(phone, streams, hangup, environment, set(environment), pid=pid)

    async def run(self, text: str) -> int:
        try:
            await self._evaluate(text, self.streams)
        except _Exit as leave:
            self.status = leave.status
        return self.status

    async def run_lines(self, prompt: str = "") -> int:
        """Read commands from standard input until its end."""
        while True:
            if prompt:
                await self.streams.stderr(prompt.encode())
            line = await self.streams.stdin.readline()
            if not line:
                return self.status
            try:
                await self._evaluate(line.decode(errors="replace"), self.streams)
            except _Exit as leave:
                return leave.status

    # Scripts

    async def _evaluate(self, text: str, streams: Streams) -> None:
        try:
            script = parse(text)
        except ShellSyntaxError as error:
            self.phone.gaps.append(f"syntax: {text}")
            await streams.stderr(f"/system/bin/sh: syntax error: {error}\n".encode())
            self.status = 1
            return
        await self._script(script, streams)

    async def _script(self, script: Script, streams: Streams) -> None:
        for operator, pipeline in script.steps:
            if (operator == "&&" and self.status) or (operator == "||" and not self.status):
                continue
            await self._pipeline(pipeline, streams)

    async def _pipeline(self, pipeline: Pipeline, streams: Streams) -> None:
        if len(pipeline.commands) == 1:
            await self._node(pipeline.commands[0], streams)
        else:
            self.status = await self._pipe(pipeline.commands, streams)
        if pipeline.negated:
            self.status = int(not self.status)

    async def _pipe(self, commands: Sequence[Node], streams: Streams) -> int:
        source = streams.stdin
        tasks: list[asyncio.Task[int]] = []
        loop = asyncio.get_running_loop()
        for index, command in enumerate(commands):
            if index == len(commands) - 1:
                tasks.append(loop.create_task(self._fork(command, replace(streams, stdin=source), None)))
            else:
                pipe = asyncio.StreamReader(limit=1 << 20)
                writer = PipeWriter(pipe)
                step = Streams(source, _pipe_sink(writer), streams.stderr)
                tasks.append(loop.create_task(self._fork(command, step, writer)))
                source = Buffered(pipe)
        try:
            status = await tasks[-1]
            # A reader that ended (`head`) ends its writers, as SIGPIPE does.
            await asyncio.wait(tasks, timeout=0.05)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return status

    async def _fork(self, node: Node, streams: Streams, output: PipeWriter | None) -> int:
        child = Shell(self.phone, streams, self.hangup, dict(self.variables), set(self.exported), self.status, self.pid)
        try:
            await child._node(node, streams)
        except _Exit as leave:
            return leave.status
        finally:
            if output is not None:
                output.close()
        return child.status

    async def _node(self, node: Node, streams: Streams) -> None:
        inner = await self._redirected(node.redirects, streams)
        if inner is None:
            self.status = 1
            return
        match node:
            case Simple():
                await self._simple(node, inner)
            case Loop():
                await self._loop(node, inner)
            case For():
                self.status = 0
                for value in await self._fields(node.words, inner):
                    self.variables[node.name] = value
                    await self._script(node.body, inner)
            case If():
                await self._if(node, inner)
            case Group(subshell=False):
                await self._script(node.body, inner)
            case Group():
                self.status = await self._subshell(node.body, inner)

    async def _subshell(self, script: Script, streams: Streams) -> int:
        child = Shell(self.phone, streams, self.hangup, dict(self.variables), set(self.exported), self.status, self.pid)
        try:
            await child._script(script, streams)
        except _Exit as leave:
            return leave.status
        return child.status

    async def _loop(self, node: Loop, streams: Streams) -> None:
        last = 0
        while True:
            await self._script(node.condition, streams)
            if bool(self.status) != node.until:
                break
            await self._script(node.body, streams)
            last = self.status
            if self.hangup.is_set():
                raise BrokenPipeError
        self.status = last

    async def _if(self, node: If, streams: Streams) -> None:
        for condition, body in node.branches:
            await self._script(condition, streams)
            if not self.status:
                await self._script(body, streams)
                return
        self.status = 0
        await self._script(node.otherwise, streams)

    # Words

    async def _fields(self, words: Sequence[Word], streams: Streams) -> list[str]:
        fields: list[str] = []
        for word in words:
            fields += await self._expand(word, streams)
        return fields

    async def _expand(self, word: Word, streams: Streams) -> list[str]:
        """The fields of one word: substitution, splitting, file names."""
        fields: list[str] = []
        current: str | None = None
        pattern = False
        for part in word:
            if part.kind == "text":
                text = part.text
                pattern = pattern or (not part.quoted and any(c in text for c in "*?["))
            elif part.kind == "variable":
                text = self._variable(part.text) or part.default
            else:
                text = await self._capture(part.text, streams)
            if part.kind == "text" or part.quoted:
                current = (current or "") + text
                continue
            pieces = text.split()
            if text[:1].isspace() and current is not None:
                fields.append(current)
                current = None
            for index, piece in enumerate(pieces):
                if index and current is not None:
                    fields.append(current)
                    current = None
                current = (current or "") + piece
            if pieces and text[-1:].isspace() and current is not None:
                fields.append(current)
                current = None
        if current is not None:
            fields.append(current)
        if pattern:
            return [name for found in fields for name in self._glob(found)]
        return fields

    def _variable(self, name: str) -> str:
        if name == "EPOCHREALTIME":
            micros = self.phone.clock.wall_ns() // 1000
            return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"
        if name == "?":
            return str(self.status)
        if name == "$":
            return str(self.pid)
        if name == "#":
            return "0"
        return self.variables.get(name, "")

    async def _capture(self, text: str, streams: Streams) -> str:
        taken = bytearray()

        async def keep(data: bytes | bytearray | memoryview) -> None:
            taken.extend(data)

        child = Shell(
            self.phone, self.streams, self.hangup, dict(self.variables), set(self.exported), self.status, self.pid
        )
        try:
            await child._evaluate(text, Streams(streams.stdin, keep, streams.stderr))
            self.status = child.status
        except _Exit as leave:
            self.status = leave.status
        return taken.decode(errors="replace").rstrip("\n")

    def _glob(self, text: str) -> list[str]:
        folder, slash, pattern = text.rpartition("/")
        if not any(c in pattern for c in "*?["):
            return [text]
        where = toybox.absolute(self.variables.get("PWD", "/"), folder + slash) if slash else self.variables["PWD"]
        try:
            names = [name for name, _ in self.phone.files.listdir(where)]
        except OSError:
            return [text]
        found = [name for name in names if fnmatch.fnmatchcase(name, pattern) and not name.startswith(".")]
        return [folder + slash + name for name in found] or [text]

    # Commands

    async def _redirected(self, redirects: Sequence[Redirect], streams: Streams) -> Streams | None:
        for redirect in redirects:
            fields = await self._expand(redirect.target, streams)
            target = fields[0] if fields else ""
            try:
                streams = self._redirect(redirect, target, streams)
            except OSError as error:
                verb = "open" if redirect.op == "<" else "create"
                await streams.stderr(f"/system/bin/sh: can't {verb} {target}: {error.strerror}\n".encode())
                return None
        return streams

    def _redirect(self, redirect: Redirect, target: str, streams: Streams) -> Streams:
        if redirect.op == "<":
            if target == "/dev/null":
                return replace(streams, stdin=Nothing())
            reader = asyncio.StreamReader()
            reader.feed_data(self.phone.files.read(self._path(target)))
            reader.feed_eof()
            return replace(streams, stdin=Buffered(reader))
        if redirect.op == ">&":
            sink = streams.stderr if target == "2" else streams.stdout
        elif target == "/dev/null":
            sink = discard
        else:
            sink = self._file_sink(self._path(target), append=redirect.op == ">>")
        return replace(streams, stderr=sink) if redirect.fd == 2 else replace(streams, stdout=sink)

    def _file_sink(self, path: str, *, append: bool) -> Sink:
        files = self.phone.files
        files.write(path, b"", append=append)

        async def put(data: bytes | bytearray | memoryview) -> None:
            files.write(path, bytes(data), append=True)

        return put

    def _path(self, text: str) -> str:
        return toybox.absolute(self.variables.get("PWD", "/"), text)

    async def _simple(self, node: Simple, streams: Streams) -> None:
        if not node.words:
            self.status = 0
            for name, word in node.assigns:
                self.variables[name] = " ".join(await self._expand(word, streams))
            return
        argv = await self._fields(node.words, streams)
        if not argv:
            self.status = 0
            return
        extra = {name: " ".join(await self._expand(word, streams)) for name, word in node.assigns}
        self.status = await self._command(argv, extra, streams)

    async def _command(self, argv: list[str], extra: dict[str, str], streams: Streams) -> int:
        builtin = _BUILTINS.get(argv[0])
        if builtin is not None:
            try:
                return await builtin(self, argv, streams)
            except ConnectionError:
                raise
            except OSError as error:
                await streams.stderr(f"/system/bin/sh: {argv[0]}: write error: {error.strerror}\n".encode())
                return 1
        program = self.find(argv[0])
        if program is None:
            return await self._missing(argv, streams)
        env = {name: value for name, value in self.variables.items() if name in self.exported or name == "PWD"}
        name = argv[0].rpartition("/")[2]
        return await self._spawn(name, program, ProcessIo(argv, {**env, **extra}, self.hangup, streams))

    def find(self, name: str) -> Program | None:
        """The program behind a command name or its full path."""
        folder, slash, base = name.rpartition("/")
        if slash and folder + slash not in _BIN:
            return None
        return self.phone.programs.get(base) or toybox.TOOLS.get(base)

    async def _missing(self, argv: list[str], streams: Streams) -> int:
        self.phone.gaps.append(f"command: {' '.join(argv)}")
        if "/" in argv[0] and self.phone.files.exists(self._path(argv[0])):
            await streams.stderr(f"/system/bin/sh: {argv[0]}: can't execute: Permission denied\n".encode())
            return _NOT_EXECUTABLE
        reason = "not found" if "/" in argv[0] else "inaccessible or not found"
        await streams.stderr(f"/system/bin/sh: {argv[0]}: {reason}\n".encode())
        return _NOT_FOUND

    async def _spawn(self, name: str, program: Program, io: ProcessIo) -> int:
        task = asyncio.ensure_future(program(io, self.phone))
        process = self.phone.spawn(name, task, " ".join(io.argv))
        try:
            return await task & 0xFF
        except asyncio.CancelledError:
            if process.killed:
                return _KILLED
            raise
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise BrokenPipeError from error
            await io.error(f"{name}: {error.strerror}\n".encode())
            return 1
        finally:
            self.phone.reap(process)

    # Builtins

    async def _echo(self, argv: list[str], streams: Streams) -> int:
        words = argv[1:]
        newline, escapes = "\n", True
        while words and words[0] in ("-n", "-e", "-E"):
            flag = words.pop(0)
            newline = "" if flag == "-n" else newline
            escapes = flag != "-E" and escapes
        text = " ".join(words)
        if escapes and "\\" in text:
            text = unescape(text)
        await streams.stdout((text + newline).encode(errors="surrogateescape"))
        return 0

    async def _printf(self, argv: list[str], streams: Streams) -> int:
        if len(argv) < 2:
            await streams.stderr(b"/system/bin/sh: printf: usage: printf format [argument ...]\n")
            return 1
        await streams.stdout(format_printf(argv[1], argv[2:]).encode(errors="surrogateescape"))
        return 0

    async def _true(self, argv: list[str], streams: Streams) -> int:
        return 0

    async def _false(self, argv: list[str], streams: Streams) -> int:
        return 1

    async def _leave(self, argv: list[str], streams: Streams) -> int:
        raise _Exit(int(argv[1]) & 0xFF if argv[1:] and argv[1].isdigit() else self.status)

    async def _cd(self, argv: list[str], streams: Streams) -> int:
        target = self._path(argv[1] if len(argv) > 1 else self.variables.get("HOME", "/"))
        if not self.phone.files.is_dir(target):
            await streams.stderr(f"/system/bin/sh: cd: {target}: No such file or directory\n".encode())
            return 2
        self.variables["PWD"] = target
        return 0

    async def _pwd(self, argv: list[str], streams: Streams) -> int:
        await streams.stdout(self.variables["PWD"].encode() + b"\n")
        return 0

    async def _export(self, argv: list[str], streams: Streams) -> int:
        for word in argv[1:]:
            name, equals, value = word.partition("=")
            self.exported.add(name)
            if equals:
                self.variables[name] = value
        return 0

    async def _unset(self, argv: list[str], streams: Streams) -> int:
        for name in argv[1:]:
            self.variables.pop(name, None)
            self.exported.discard(name)
        return 0

    async def _eval(self, argv: list[str], streams: Streams) -> int:
        self.status = 0
        await self._evaluate(" ".join(argv[1:]), streams)
        return self.status

    async def _exec(self, argv: list[str], streams: Streams) -> int:
        if len(argv) == 1:
            return 0
        raise _Exit(await self._command(argv[1:], {}, streams))

    async def _read(self, argv: list[str], streams: Streams) -> int:
        names = [word for word in argv[1:] if not word.startswith("-")] or ["REPLY"]
        line = await streams.stdin.readline()
        words = line.decode(errors="surrogateescape").rstrip("\n").split(maxsplit=len(names) - 1)
        for index, name in enumerate(names):
            self.variables[name] = words[index].rstrip() if index < len(words) else ""
        return 0 if line.endswith(b"\n") else 1

    async def _test(self, argv: list[str], streams: Streams) -> int:
        words = argv[1:]
        if argv[0] == "[":
            if words[-1:] != ["]"]:
                await streams.stderr(b"/system/bin/sh: [: missing ]\n")
                return 2
            words = words[:-1]
        try:
            return int(not self._holds(words))
        except ValueError as error:
            await streams.stderr(f"/system/bin/sh: {argv[0]}: {error}\n".encode())
            return 2

    def _holds(self, words: list[str]) -> bool:
        for joint, combine in (("-o", any), ("-a", all)):
            if joint in words[1:-1]:
                at = words.index(joint, 1)
                return combine((self._holds(words[:at]), self._holds(words[at + 1 :])))
        match words:
            case []:
                return False
            case [text]:
                return bool(text)
            case ["!", *rest]:
                return not self._holds(rest)
            case ["-n", text]:
                return bool(text)
            case ["-z", text]:
                return not text
            case [("-e" | "-f" | "-r" | "-w" | "-x" | "-s" | "-d") as flag, path]:
                return self._file_test(flag, self._path(path))
            case [left, "=" | "==", right]:
                return left == right
            case [left, "!=", right]:
                return left != right
            case [left, ("-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge") as operator, right]:
                a, b = int(left), int(right)
                return {
                    "-eq": a == b, "-ne": a != b, "-lt": a < b, "-le": a <= b, "-gt": a > b, "-ge": a >= b,
                }[operator]  # fmt: skip
        raise ValueError(f"{' '.join(words)}: unexpected operator/operand")

    def _file_test(self, flag: str, path: str) -> bool:
        files = self.phone.files
        if not files.exists(path):
            return False
        if flag == "-d":
            return files.is_dir(path)
        if flag == "-f":
            return not files.is_dir(path)
        if flag == "-s":
            return files.stat(path).size > 0
        return True

    async def _nested(self, argv: list[str], streams: Streams) -> int:
        """`sh -c TEXT` or `sh` with commands on standard input."""
        environment = {name: value for name, value in self.variables.items() if name in self.exported or name == "PWD"}
        text = argv[2] if argv[1:2] == ["-c"] and len(argv) > 2 else ""
        with self.phone.shell(text) as pid:
            shell = Shell(self.phone, streams, self.hangup, environment, set(environment), pid=pid)
            return await (shell.run(text) if argv[1:2] == ["-c"] else shell.run_lines())

    async def _run_command(self, argv: list[str], streams: Streams) -> int:
        if argv[1:2] == ["-v"] or len(argv) == 1:
            return await self._which(argv, streams)
        return await self._command(argv[1:], {}, streams)

    async def _which(self, argv: list[str], streams: Streams) -> int:
        names = [word for word in argv[1:] if not word.startswith("-")]
        status = 0
        for name in names:
            if name in _BUILTINS:
                await streams.stdout(name.encode() + b"\n")
            elif self.find(name) is not None:
                await streams.stdout(f"/system/bin/{name}\n".encode())
            else:
                status = 1
        return status


_Builtin = Callable[[Shell, list[str], Streams], Awaitable[int]]
_BUILTINS: dict[str, _Builtin] = {
    "/system/bin/sh": Shell._nested,
    ":": Shell._true,
    "[": Shell._test,
    "cd": Shell._cd,
    "command": Shell._run_command,
    "echo": Shell._echo,
    "eval": Shell._eval,
    "exec": Shell._exec,
    "exit": Shell._leave,
    "export": Shell._export,
    "false": Shell._false,
    "printf": Shell._printf,
    "pwd": Shell._pwd,
    "read": Shell._read,
    "sh": Shell._nested,
    "test": Shell._test,
    "true": Shell._true,
    "unset": Shell._unset,
    "which": Shell._which,
}


def _pipe_sink(writer: PipeWriter) -> Sink:
    async def put(data: bytes | bytearray | memoryview) -> None:
        writer.write(bytes(data))
        await writer.drain()

    return put


def unescape(text: str) -> str:
    """Backslash escapes of `echo` and `printf`."""
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text)


def format_printf(template: str, arguments: list[str]) -> str:
    """`printf`: %s %d %x %c %%, the template again while arguments are left."""
    template = unescape(template)
    rest = list(arguments)
    out: list[str] = []

    def place(match: re.Match[str]) -> str:
        if match[2] == "%":
            return "%"
        value = rest.pop(0) if rest else ""
        if match[2] in "dixu":
            number = int(value) if re.fullmatch(r"-?\d+", value) else 0
            return f"%{match[1]}{'d' if match[2] in 'iu' else match[2]}" % number
        return f"%{match[1]}s" % (value[:1] if match[2] == "c" else value)

    while True:
        before = len(rest)
        out.append(re.sub(r"%([-0 ]*\d*)([sdixuc%])", place, template))
        if not rest or len(rest) == before:
            return "".join(out)
