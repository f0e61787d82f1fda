// As a service worker has it: the engine makes it the world's `wasi:http/incoming-handler`.

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const headers = { "content-type": "text/plain", "x-from": "javascript" };
  const { pathname } = new URL(request.url);
  if (request.method === "GET" && pathname === "/") {
    return new Response("Hello from javascript\n", { headers });
  }
  if (request.method === "POST" && pathname === "/echo") {
    headers["content-type"] = request.headers.get("content-type");
    return new Response(request.body, { headers });
  }
  return new Response(null, { status: 404, headers });
}
