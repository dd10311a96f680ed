import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP proxy between a client and a port of this machine, that a test makes slow, or cuts. */
export interface SlowLink {
  readonly port: number;
  /** Whatever goes towards the server waits for so long. */
  slow(ms: number): void;
  /** Ends the connections that there are, and all that come. */
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

export async function slowLink(to: number): Promise<SlowLink> {
  const ends = new Set<Socket>();
  let connected = true;
  let delayMs = 0;
  const keep = (socket: Socket, other: Socket) => {
    ends.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => {
      ends.delete(socket);
      other.destroy();
    });
  };
  const server = createServer((client) => {
    if (!connected) return void client.destroy();
    const upstream = connect(to, '127.0.0.1');
    keep(client, upstream);
    keep(upstream, client);
    client.on('data', (chunk) => void setTimeout(() => upstream.write(chunk), delayMs));
    upstream.pipe(client);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    slow: (ms) => {
      delayMs = ms;
    },
    cut: () => {
      connected = false;
      for (const socket of ends) socket.destroy();
    },
    mend: () => {
      connected = true;
      delayMs = 0;
    },
    close: async () => {
      server.close();
      for (const socket of ends) socket.destroy();
      await once(server, 'close');
    },
  };
}
