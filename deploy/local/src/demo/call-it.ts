/** Commands that work as printed against the gateway at `address`: a page, an action, a load. */
export function callItLines(address: string, itemId: string): string[] {
  const page = '{"person":{"user_id":"ada"},"surface":"home","page_size":5}';
  const event = `{"event_id":"e1","item_id":${JSON.stringify(itemId)},"actions":["save"],"surface":"home"}`;
  return [
    `grpcurl -plaintext -d '${page}' \\`,
    `  ${address} onepass.gateway.v1.RecommendationService/Recommend`,
    // A single quote cannot stand inside single quotes: the shell wants them closed, the quote escaped, and opened again.
    `grpcurl -plaintext -d '{"person":{"user_id":"ada"},"events":[`,
    `    ${event.replaceAll("'", "'\\''")}]}' \\`,
    `  ${address} onepass.gateway.v1.EventService/LogActions`,
    'ghz --insecure --call onepass.gateway.v1.RecommendationService/Recommend -n 200 -c 4 --connections 4 \\',
    `  -d '${page}' ${address}`,
  ];
}
