"""The world `wasi:http/proxy` of WASI 0.2. Its page asks again, by script, and shows the answer."""

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    Method_Get,
    Method_Post,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

PAGE = b"""<!doctype html>
<title>A page of Python's</title>
<p id="said">nothing</p>
<script>
  const ask = new XMLHttpRequest();
  ask.open("POST", "/echo", false);
  ask.setRequestHeader("content-type", "text/plain");
  ask.send("the browser asked ".concat(6 * 7, " times"));
  document.getElementById("said").textContent = ask.getResponseHeader("x-from").concat(": ", ask.responseText);
</script>
"""


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        match request.method(), request.path_with_query():
            case Method_Get(), "/":
                respond(response_out, 200, b"text/plain", [b"Hello from python\n"])
            case Method_Get(), "/page":
                respond(response_out, 200, b"text/html", [PAGE])
            case Method_Post(), "/echo":
                kind = request.headers().get("content-type")[0]
                respond(response_out, 200, kind, chunks(request))
            case _:
                respond(response_out, 404, b"text/plain", [])


def chunks(request: IncomingRequest):
    with request.consume() as body, body.stream() as stream:
        while True:
            try:
                yield stream.blocking_read(4096)
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    return
                raise


def respond(out: ResponseOutparam, status: int, kind: bytes, parts) -> None:
    response = OutgoingResponse(Fields.from_list([("content-type", kind), ("x-from", b"python")]))
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(out, Ok(response))
    with body.write() as stream:
        for part in parts:
            stream.blocking_write_and_flush(part)
    OutgoingBody.finish(body, None)
