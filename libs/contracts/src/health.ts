import * as grpc from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import { PLAINTEXT } from './transport.js';

/** What a server says of one of its services: nothing when it cannot be reached, or when it does not answer in time. */
export type ServiceHealth = 'serving' | 'not_serving' | 'unknown_service' | 'unreachable' | 'late';

/** @param service its full name; "" = the whole server */
export function healthOf(channel: grpc.Client, service: string, timeoutMs: number): Promise<ServiceHealth> {
  const { path, requestSerialize, responseDeserialize } = healthService.Check as grpc.MethodDefinition<
    { service: string },
    { status?: string }
  >;
  return new Promise((resolve) => {
    const done = (error: grpc.ServiceError | null, reply?: { status?: string }) => {
      if (error) resolve(HEALTH_OF_STATUS[error.code] ?? 'unreachable');
      else resolve(reply?.status === 'SERVING' ? 'serving' : 'not_serving');
    };
    const deadline = { deadline: Date.now() + timeoutMs };
    try {
      channel.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service }, deadline, done);
    } catch {
      resolve('unreachable'); // The connection was closed.
    }
  });
}

const HEALTH_OF_STATUS: Partial<Record<grpc.status, ServiceHealth>> = {
  [grpc.status.NOT_FOUND]: 'unknown_service',
  [grpc.status.UNIMPLEMENTED]: 'unknown_service',
  [grpc.status.DEADLINE_EXCEEDED]: 'late',
};

/** Whether the server at `address` answers SERVING for its whole; anything else, silence included, is false. */
export async function isServing(address: string, timeoutMs: number, transport = PLAINTEXT): Promise<boolean> {
  const channel = new grpc.Client(address, transport.channel(address), { 'grpc.enable_channelz': 0 });
  const health = await healthOf(channel, '', timeoutMs);
  channel.close();
  return health === 'serving';
}
