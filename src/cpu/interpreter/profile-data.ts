/** Written by `scripts/profile-engine.mjs`: do not edit. */
import type { Profile } from './profile.ts'

export const PROFILE: Profile = { inline: [], fused: [] }
