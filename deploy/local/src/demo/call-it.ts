import { type ClientTls, type OnepassClient, OnepassError } from '@onepass/client';
import { likedAction, plainSurface } from '../vocabulary.js';

/** What the commands are about, in the release's own names. */
export interface Example {
  /** Whose pages need nothing said. */
  readonly surface: string;
  readonly itemId: string;
  readonly action: string;
  /** Undefined where pages cannot be searched for by text. */
  readonly searchText: string | undefined;
}

const PERSON = { user_id: 'ada' };
const WORDS = 4;
const LONGEST_TEXT = 40;

/** Asks the mesh for names that work. Undefined where every page of the release is about a query or an item. */
export async function exampleOf(onepass: OnepassClient): Promise<Example | undefined> {
  const { surfaces, actions } = await onepass.describe({});
  const surface = plainSurface(surfaces);
  if (surface === undefined) return undefined;
  const itemId = (await onepass.recommend({ surface, pageSize: 1 })).items[0]?.itemId ?? '';
  const title = (await onepass.getItems({ itemIds: [itemId] })).items[0]?.title || itemId;
  const text = title.toLowerCase().split(/\s+/).slice(0, WORDS).join(' ').slice(0, LONGEST_TEXT);
  const searchText = surfaces.includes('search') && (await takesText(onepass, text)) ? text : undefined;
  return { surface, itemId, action: likedAction(actions), searchText };
}

async function takesText(onepass: OnepassClient, text: string): Promise<boolean> {
  const context = { case: 'search', value: { query: { case: 'text', value: text } } } as const;
  try {
    await onepass.recommend({ surface: 'search', context, pageSize: 1 });
    return true;
  } catch (error) {
    if (OnepassError.from(error).kind === 'unimplemented') return false;
    throw error;
  }
}

/** Commands that work as printed against the gateway at `address`: a page, a search, an action, a load. */
export function callItLines(address: string, example: Example, tls?: ClientTls): string[] {
  const { surface, itemId, action, searchText } = example;
  const [grpcurl, ghz] = tls === undefined ? ['-plaintext', '--insecure'] : tlsFlags(tls);
  const page = inQuotes({ person: PERSON, surface, page_size: 5 });
  const search = [{ person: PERSON, surface: 'search', page_size: 5 }, { search: { text: searchText } }];
  const event = { event_id: 'e1', item_id: itemId, actions: [action], surface };
  return [
    `grpcurl ${grpcurl} -d '${page}' \\`,
    `  ${address} onepass.gateway.v1.RecommendationService/Recommend`,
    ...(searchText === undefined
      ? []
      : [
          `grpcurl ${grpcurl} -d '${inQuotes(search[0]).slice(0, -1)},`,
          `    ${inQuotes(search[1]).slice(1)}' \\`,
          `  ${address} onepass.gateway.v1.RecommendationService/Recommend`,
        ]),
    `grpcurl ${grpcurl} -d '{"person":${inQuotes(PERSON)},"events":[`,
    `    ${inQuotes(event)}]}' \\`,
    `  ${address} onepass.gateway.v1.EventService/LogActions`,
    `ghz ${ghz} --call onepass.gateway.v1.RecommendationService/Recommend -n 200 -c 4 --connections 4 \\`,
    `  -d '${page}' ${address}`,
  ];
}

/** JSON between single quotes. One cannot stand inside them: the shell wants them closed, the quote escaped, and opened again. */
function inQuotes(value: unknown): string {
  return JSON.stringify(value).replaceAll("'", "'\\''");
}

function tlsFlags({ ca, cert, key, serverName }: ClientTls): [grpcurl: string, ghz: string] {
  const grpcurl = `-cacert ${ca} -cert ${cert} -key ${key}`;
  const ghz = `--cacert ${ca} --cert ${cert} --key ${key}`;
  return serverName === undefined
    ? [grpcurl, ghz]
    : [`${grpcurl} -authority ${serverName}`, `${ghz} --cname ${serverName}`];
}
