/**
 * What a region is to be made of. Plain data, so that it can be sent to the thread that translates.
 *
 * Code is addressed relative to the *anchor*: the start of the page in which the region began. Nothing in a region says where it is
 * mapped. A function that is called may be in a region more than once, as part of each of its callers: then blocks with the same address
 * differ in where they return to.
 */
export interface RegionPlan {
  readonly id: number
  readonly tier: Tier
  readonly stores: Stores
  /** Pages with code of the region, at most MAXIMUM_REGION_PAGES; the anchor's is the first. */
  readonly pages: readonly PlannedPage[]
  /** Basic blocks; the first is where the region began. */
  readonly blocks: readonly PlannedBlock[]
  /** Blocks, by position, that can be entered. */
  readonly entries: readonly number[]
}

/** How a region is compiled: soon, or well. What was compiled quickly and turns out to run long is compiled again. */
export type Tier = 'quick' | 'optimised'
/** When registers are stored: see guest-registers.ts. */
export type Stores = 'early' | 'late'

export interface PlannedPage {
  /** Distance from the anchor's page, in pages. */
  readonly delta: number
  readonly bytes: Uint8Array
}

/** A basic block. Successors are positions of blocks, -1 where the region is left. */
export interface PlannedBlock {
  /** First byte, relative to the anchor. */
  readonly at: number
  /** Instructions. */
  readonly count: number
  /** Where it goes on if the last instruction does not branch. */
  readonly next: number
  /** Where a direct branch or call goes. */
  readonly target: number
  /** Where a computed branch, call or return is expected to go; what is likeliest comes first. */
  readonly expected: readonly number[]
}

/** Bits in the word that says which pages of a region are mapped as it expects. */
export const MAXIMUM_REGION_PAGES = 32

/** A translated region, as its translator describes it to the dispatcher. */
export interface TranslatedRegion {
  readonly id: number
  /** Blocks that can be entered: addresses relative to the anchor, and the entries' numbers. */
  readonly entries: readonly { readonly at: number; readonly number: number }[]
  /** EXIT_WORDS words an exit, see exits.ts. */
  readonly exits: Int32Array
  readonly instructions: number
}
