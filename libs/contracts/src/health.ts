import * as grpc from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';

/** Whether the server at `address` answers SERVING for its whole; anything else, silence included, is false. */
export function isServing(address: string, timeoutMs: number): Promise<boolean> {
  const Health = grpc.makeGenericClientConstructor(healthService, 'Health');
  const client = new Health(address, grpc.credentials.createInsecure(), { 'grpc.enable_channelz': 0 });
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
