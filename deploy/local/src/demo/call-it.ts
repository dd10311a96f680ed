/** Commands that work as printed against the gateway at `address`. */
export function callItLines(address: string, itemId: string): string[] {
  const grpcurl = (method: string, body: string) => [
    `grpcurl -plaintext -d '${body}' \\`,
    `    ${address} onepass.gateway.v1.${method}`,
  ];
  return [
    ...grpcurl('RecommendationService/Recommend', '{"person":{"user_id":"ada"},"surface":"home","page_size":5}'),
    ...grpcurl(
      'EventService/LogActions',
      `{"person":{"user_id":"ada"},"events":[{"item_id":"${itemId}","actions":["save"],"surface":"home"}]}`,
    ),
    'ghz --insecure --call onepass.gateway.v1.RecommendationService/Recommend -n 200 -c 4 --connections 4 \\',
    `    -d '{"person":{"user_id":"ada"},"surface":"home"}' ${address}`,
  ];
}
