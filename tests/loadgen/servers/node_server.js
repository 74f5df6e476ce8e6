// The same for Node's http server; the listening socket's descriptor is the argument.
const http = require("node:http");
const zlib = require("node:zlib");

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://localhost");
  const [, kind, n] = url.pathname.split("/");
  if (kind === "bytes") {
    const body = Buffer.alloc(Math.floor(n / 256) * 256, Buffer.from([...Array(256).keys()]));
    response.setHeader("content-length", body.length);
    response.end(request.method === "HEAD" ? undefined : body);
  } else if (kind === "chunks") {
    for (let i = 0; i < n; i++) response.write(`chunk ${i}\n`);
    response.end();
  } else if (kind === "status") {
    response.statusCode = Number(n);
    response.end();
  } else if (kind === "gzip") {
    response.setHeader("content-encoding", "gzip");
    response.end(zlib.gzipSync("squeezed ".repeat(100)));
  } else if (kind === "close") {
    response.setHeader("connection", "close");
    response.end("bye");
  } else if (kind === "hints") {
    response.writeProcessing();
    response.writeEarlyHints({ link: "</style.css>; rel=preload" });
    response.end("after hints");
  } else if (kind === "trailers") {
    response.writeHead(200, { trailer: "x-sum" });
    response.write("summed");
    response.addTrailers({ "x-sum": "6" });
    response.end();
  } else {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      response.setHeader("x-method", request.method);
      response.setHeader("x-query", url.search.slice(1));
      response.setHeader("x-type", request.headers["content-type"] ?? "-");
      response.setHeader("x-coding", request.headers["transfer-encoding"] ?? "-");
      response.end(Buffer.concat(pieces));
    });
  }
});
server.listen({ fd: Number(process.argv[2]) });
