/**
 * Which forms run inline, and which pairs as one handler: measured, not chosen by hand. `profile-data.ts` is written by
 * `scripts/profile-engine.mjs` from a boot of Debian and the benchmark's programs.
 */
export interface Profile {
  /** Form keys, most executed first. */
  readonly inline: readonly string[]
  readonly fused: readonly (readonly [string, string])[]
}

export const EMPTY_PROFILE: Profile = { inline: [], fused: [] }
