import type { AttributeFilter, CallPriority, Mode, Person, View } from '@onepass/contracts';
import type { EmbeddingBatchFields } from '@onepass/embeddings';
import type { Budget, DiversityWindow, PageProgress, PageTokenScope } from '@onepass/pages';
import type { PersonKey } from '@onepass/routing';

/** A Recommend request that was found right, with every default filled in. */
export interface Plan {
  readonly requestId: string;
  /** What the request is about, as the caller said it; passed on to the encoder. */
  readonly person: Person | undefined;
  /** Undefined for nobody in particular. */
  readonly personKey: PersonKey | undefined;
  readonly surface: string;
  readonly relatedItemIds: readonly string[];
  /** A search by text; the encoder makes its embedding. */
  readonly queryText: string | undefined;
  /** A search's own query, one row in item space. */
  readonly queryEmbedding: EmbeddingBatchFields | undefined;
  readonly features: Readonly<Record<string, number>>;
  readonly mode: Mode;
  readonly view: View;
  readonly pageSize: number;
  /** Retrieved candidates to rank. */
  readonly candidates: number;
  readonly progress: PageProgress;
  readonly tokenScope: PageTokenScope;
  readonly filters: readonly AttributeFilter[];
  readonly excludedItemIds: readonly string[];
  /** Never empty; shares sum to 1. */
  readonly budgets: readonly Budget[];
  /** By action name, as the request has them. */
  readonly utilityWeights: Readonly<Record<string, number>>;
  /** Those and the release's for all other actions. */
  readonly weightsInForce: Readonly<Record<string, number>>;
  readonly diversity: readonly DiversityWindow[];
  readonly externals: readonly ExternalItem[];
  readonly minimumHistorySequence: bigint;
  readonly priority: CallPriority;
  /** The request's "now", epoch ms; such a page is a replay, shown to nobody. Undefined = the server's clock. */
  readonly asOfMs: number | undefined;
}

/** An external candidate; the sources of repeated ids are gathered in the first. */
export interface ExternalItem {
  readonly itemId: string;
  /** The caller's own; undefined = the release's. */
  readonly embedding: Float32Array | undefined;
  readonly sources: readonly { readonly name: string; readonly rank: number }[];
}
