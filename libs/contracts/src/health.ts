import * as grpc from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import { PLAINTEXT } from './transport.js';

/** Whether the server at `address` answers SERVING for its whole; anything else, silence included, is false. */
export function isServing(address: string, timeoutMs: number, transport = PLAINTEXT): Promise<boolean> {
  const Health = grpc.makeGenericClientConstructor(healthService, 'Health');
  const client = new Health(address, transport.channel(address), { 'grpc.enable_channelz': 0 });
  return new Promise((resolve) => {
    client.check?.(
      { service: '' },
      { deadline: Date.now() + timeoutMs },
      (error: unknown, reply: { status?: string } | undefined) => {
        client.close();
        resolve(!error && reply?.status === 'SERVING');
      },
    );
  });
}
