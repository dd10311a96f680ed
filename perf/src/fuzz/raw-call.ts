import * as http2 from 'node:http2';

/** What came back of one call. */
export interface RawAnswer {
  /** gRPC status; undefined when none came. */
  readonly status: number | undefined;
  readonly message: Uint8Array | undefined;
}

/** Sends bytes that no client library would: gRPC over HTTP/2, by hand. */
export interface RawConnection {
  /**
   * One unary call with `body` as its message, whatever it is.
   * @param patienceMs after which a call without an answer is given up: its status is undefined
   */
  call(path: string, body: Uint8Array, patienceMs: number): Promise<RawAnswer>;
  close(): void;
}

const PREFIX_BYTES = 5;

export function rawConnection(address: string): RawConnection {
  let session = connect(address);
  return {
    call: (path, body, patienceMs) => {
      if (session.closed || session.destroyed) session = connect(address);
      return call(session, path, body, patienceMs);
    },
    close: () => session.destroy(),
  };
}

function connect(address: string): http2.ClientHttp2Session {
  // In MiB: large messages wait in it for a server that does not read them.
  const session = http2.connect(`http://${address}`, { maxSessionMemory: 1_024 });
  // Every call says what became of it.
  session.on('error', () => {});
  return session;
}

function call(
  session: http2.ClientHttp2Session,
  path: string,
  body: Uint8Array,
  patienceMs: number,
): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': `${patienceMs}m`,
    });
    const chunks: Buffer[] = [];
    let status: number | undefined;
    const read = (headers: http2.IncomingHttpHeaders) => {
      if (headers['grpc-status'] !== undefined) status = Number(headers['grpc-status']);
    };
    stream.on('response', read);
    stream.on('trailers', read);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => {});
    // A server that refuses a large message does not read it to its end. Others end by themselves: a server ends a connection
    // on which many streams are reset.
    stream.on('end', () => {
      if (!stream.writableFinished) stream.close();
    });
    stream.setTimeout(2 * patienceMs, () => stream.close());
    stream.on('close', () => {
      const all = Buffer.concat(chunks);
      resolve({ status, message: status === 0 ? all.subarray(PREFIX_BYTES) : undefined });
    });
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(body.length, 1);
    stream.end(Buffer.concat([prefix, body]));
  });
}
