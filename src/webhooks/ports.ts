import type { NoticeType } from '../event/notice.ts';

export type EndpointState = 'enabled' | 'disabled';

/** Who is told. */
export type Endpoint = {
  readonly endpointId: string;
  readonly url: string;
  readonly description: string | null;
  readonly types: readonly NoticeType[];
  /** A user's id, or the beginning of ids followed by `*`; null: of every user. */
  readonly boundTo: string | null;
  readonly state: EndpointState;
  readonly disabledWhy: string | null;
  /** Since when every attempt has failed; null: the last one has not. */
  readonly failingSince: Date | null;
  readonly createdAt: Date;
};

/** In the order in which they sign: during a rotation, there are several. */
export type Secrets = readonly string[];

export type Attempt = {
  readonly at: string;
  readonly ms: number;
  /** Of the answer; null: there was none. */
  readonly status: number | null;
  readonly error: string | null;
};

export type DeliveryState = 'PENDING' | 'DELIVERED' | 'FAILED';

export type Delivery = {
  readonly deliveryId: number;
  readonly endpointId: string;
  readonly eventId: string;
  readonly type: NoticeType;
  readonly state: DeliveryState;
  readonly attemptCount: number;
  readonly nextAttemptAt: Date | null;
  /** The latest ten, oldest first. */
  readonly attempts: readonly Attempt[];
  readonly createdAt: Date;
  readonly closedAt: Date | null;
};

/** A delivery that this process has to make; others leave it alone until its lease ends. */
export type ClaimedDelivery = Pick<Delivery, 'deliveryId' | 'type' | 'attemptCount' | 'attempts' | 'createdAt'> & {
  /** The event as it is now, as callers see it; null: it was erased. */
  readonly event: Readonly<Record<string, unknown>> | null;
  /** Of a change of level: from and to. */
  readonly detail: Readonly<Record<string, unknown>> | null;
};

export type DueEndpoint = Pick<Endpoint, 'endpointId' | 'url' | 'failingSince'> & { readonly secrets: Secrets };

/** What becomes of a delivery. `retry`: in `delayMs`. `disable`: and nothing more is sent to this endpoint. */
export type Verdict =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'retry'; readonly delayMs: number }
  | { readonly kind: 'failed' }
  /** There is nothing to tell any more, which says nothing about the endpoint. */
  | { readonly kind: 'erased' }
  | { readonly kind: 'disable'; readonly why: string };

export type FindDue = () => Promise<readonly DueEndpoint[]>;
export type ClaimDeliveries = (endpointId: string, limit: number) => Promise<readonly ClaimedDelivery[]>;
export type RecordAttempt = (
  endpoint: DueEndpoint,
  delivery: ClaimedDelivery,
  attempt: Attempt,
  verdict: Verdict,
) => Promise<void>;

/** Undoes a claim, so that the attempt does not count and another process makes it at once. */
export type ReturnDelivery = (delivery: ClaimedDelivery) => Promise<void>;

type NewEndpoint = Pick<Endpoint, 'endpointId' | 'url' | 'description' | 'types' | 'boundTo'> & {
  readonly secret: string;
};
export type EndpointChange = {
  readonly url?: string;
  readonly description?: string | null;
  readonly types?: readonly NoticeType[];
  readonly state?: EndpointState;
};
/** Which deliveries are made again. */
export type ReplaySelection = {
  readonly ids?: readonly number[];
  readonly state?: 'FAILED' | 'DELIVERED';
  readonly since?: Date;
  readonly until?: Date;
  /** Those after this one, as `Replayed` says. */
  readonly after?: ReplayPosition;
};
export type ReplayPosition = { readonly createdAt: Date; readonly deliveryId: number };
/** `next`: where to go on; null: everything that was selected is due. */
export type Replayed = { readonly replayed: number; readonly next: ReplayPosition | null };

/**
 * The endpoints, as operators see and change them. `actor`: who is recorded to have done it. Null, false: there is no
 * such endpoint.
 */
export type EndpointStore = {
  create(endpoint: NewEndpoint, actor: string): Promise<Endpoint>;
  list(): Promise<readonly Endpoint[]>;
  find(endpointId: string): Promise<Endpoint | null>;
  change(endpointId: string, change: EndpointChange, actor: string): Promise<Endpoint | null>;
  remove(endpointId: string, actor: string): Promise<boolean>;
  /** The old secret signs, too, until `graceMs` from now, and so do those before it until their end; 0: none does. */
  rotate(endpointId: string, secret: string, graceMs: number, actor: string): Promise<boolean>;
  secrets(endpointId: string): Promise<Secrets | null>;
  /** Newest first, older than `before`. */
  deliveries(
    endpointId: string,
    filter: { readonly state?: DeliveryState; readonly before?: number },
    limit: number,
  ): Promise<readonly Delivery[]>;
  /** Makes at most `limit` due again. */
  replay(endpointId: string, selection: ReplaySelection, limit: number, actor: string): Promise<Replayed | null>;
};
