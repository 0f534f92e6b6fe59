/** Bound of a profile, seconds: a minute is some megabytes. */
export const mostSeconds = 60;

/** A profile that an operator requests of a member. */
export type ProfileRequest = {
  readonly requestId: string;
  readonly of: 'process' | 'thread';
  readonly seconds: number;
};

/** What became of it. `content`: gzip of a `.cpuprofile`. */
export type ProfileResult = { readonly content: Buffer } | { readonly error: string };

/** Claims the request for this member, if there is one: nobody else gets it. */
export type ClaimProfileRequest = () => Promise<ProfileRequest | null>;
/** Does nothing if the request is not waited for any more. */
export type StoreProfile = (requestId: string, result: ProfileResult) => Promise<void>;
