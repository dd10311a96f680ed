import { type DescFile, toBinary } from '@bufbuild/protobuf';
import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type * as grpc from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';

/** Server reflection (v1 and v1alpha), so that grpcurl and ghz need no proto files. */
export function addReflection(server: grpc.Server, services: readonly GenService<GenServiceMethods>[]): void {
  const files = new Map<string, DescFile>();
  for (const service of services) collect(service.file, files);
  const fileDescriptorProtos = [...files.values()].map((f) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, f.proto)),
  );
  // The package expects proto-loader's shape, of which it reads only the descriptors.
  const definition = { onepass: { format: 'Protocol Buffer 3 DescriptorProto', type: {}, fileDescriptorProtos } };
  const names = services.map((s) => s.typeName);
  new ReflectionService(definition as never, { services: names }).addToServer(server);
}

function collect(file: DescFile, into: Map<string, DescFile>): void {
  if (into.has(file.name)) return;
  into.set(file.name, file);
  for (const dependency of file.dependencies) collect(dependency, into);
}
