/** A profile that an operator wants of a member. */
export type ProfileWish = { readonly of: 'process' | 'thread'; readonly seconds: number };

/** What became of it. `content`: gzip of a `.cpuprofile`. */
export type ProfileResult = { readonly content: Buffer } | { readonly error: string };

/** Takes the wish for this member, if there is one: nobody else gets it. */
export type TakeWish = () => Promise<ProfileWish | null>;
export type StoreProfile = (result: ProfileResult) => Promise<void>;
