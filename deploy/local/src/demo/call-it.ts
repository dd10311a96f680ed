import type { ClientTls } from '@onepass/client';

/** Commands that work as printed against the gateway at `address`: a page, a search, an action, a load. */
export function callItLines(address: string, itemId: string, tls?: ClientTls): string[] {
  const [grpcurl, ghz] = tls === undefined ? ['-plaintext', '--insecure'] : tlsFlags(tls);
  const page = '{"person":{"user_id":"ada"},"surface":"home","page_size":5}';
  const event = `{"event_id":"e1","item_id":${JSON.stringify(itemId)},"actions":["save"],"surface":"home"}`;
  return [
    `grpcurl ${grpcurl} -d '${page}' \\`,
    `  ${address} onepass.gateway.v1.RecommendationService/Recommend`,
    `grpcurl ${grpcurl} -d '{"person":{"user_id":"ada"},"surface":"search","page_size":5,`,
    `    "search":{"text":"rustic teal mug"}}' \\`,
    `  ${address} onepass.gateway.v1.RecommendationService/Recommend`,
    // A single quote cannot stand inside single quotes: the shell wants them closed, the quote escaped, and opened again.
    `grpcurl ${grpcurl} -d '{"person":{"user_id":"ada"},"events":[`,
    `    ${event.replaceAll("'", "'\\''")}]}' \\`,
    `  ${address} onepass.gateway.v1.EventService/LogActions`,
    `ghz ${ghz} --call onepass.gateway.v1.RecommendationService/Recommend -n 200 -c 4 --connections 4 \\`,
    `  -d '${page}' ${address}`,
  ];
}

function tlsFlags({ ca, cert, key, serverName }: ClientTls): [grpcurl: string, ghz: string] {
  const grpcurl = `-cacert ${ca} -cert ${cert} -key ${key}`;
  const ghz = `--cacert ${ca} --cert ${cert} --key ${key}`;
  return serverName === undefined
    ? [grpcurl, ghz]
    : [`${grpcurl} -authority ${serverName}`, `${ghz} --cname ${serverName}`];
}
