import { type DescFile, toBinary } from '@bufbuild/protobuf';
import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type * as grpc from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { OnepassError } from '@onepass/errors';
import { file_google_rpc_error_details } from './gen/google/rpc/error_details_pb.js';
import type { CallGuard } from './guard.js';
import { peerOf } from './peer.js';
import { toStatus } from './status.js';

type Stream = grpc.ServerDuplexStream<unknown, unknown>;

/** As the package names them. */
export const REFLECTION_METHODS: readonly string[] = ['v1', 'v1alpha'].map(
  (version) => `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
);

/** Server reflection (v1 and v1alpha), so that grpcurl and ghz need no proto files. */
export function addReflection(
  server: grpc.Server,
  services: readonly GenService<GenServiceMethods>[],
  guard: CallGuard,
): void {
  const files = new Map<string, DescFile>();
  for (const service of services) collect(service.file, files);
  // No service refers to it, but errors carry its messages, and a client cannot show them otherwise.
  collect(file_google_rpc_error_details, files);
  const fileDescriptorProtos = [...files.values()].map((f) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, f.proto)),
  );
  // The package expects proto-loader's shape, of which it reads only the descriptors.
  const definition = { onepass: { format: 'Protocol Buffer 3 DescriptorProto', type: {}, fileDescriptorProtos } };
  const names = services.map((s) => s.typeName);
  new ReflectionService(definition as never, { services: names }).addToServer(guarded(server, guard));
}

/** The server as the package sees it: what it adds passes the guard first. A stream counts as a call, not as one under way. */
function guarded(server: grpc.Server, guard: CallGuard): grpc.Server {
  const addService: grpc.Server['addService'] = (definition, { ServerReflectionInfo: handle }) =>
    server.addService(definition, {
      ServerReflectionInfo: (stream: Stream) => {
        try {
          guard.admit(stream.getPath(), peerOf(stream)).release();
        } catch (thrown) {
          stream.emit('error', toStatus(OnepassError.from(thrown)));
          return;
        }
        (handle as grpc.handleBidiStreamingCall<unknown, unknown>)(stream);
      },
    });
  return { addService } as grpc.Server;
}

function collect(file: DescFile, into: Map<string, DescFile>): void {
  if (into.has(file.name)) return;
  into.set(file.name, file);
  for (const dependency of file.dependencies) collect(dependency, into);
}
