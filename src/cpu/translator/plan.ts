/**
 * What a region is to be made of. Plain data, so that it can be sent to the thread that translates.
 *
 * Code is addressed relative to the *anchor*: the start of the page in which the region began. Nothing in a region says where it is
 * mapped.
 */
export interface RegionPlan {
  readonly id: number
  /** Pages with code of the region, at most MAXIMUM_REGION_PAGES; the anchor's is the first. */
  readonly pages: readonly PlannedPage[]
  /** Basic blocks, in any order; the first is where the region began. */
  readonly blocks: readonly PlannedBlock[]
  /** Blocks (by position) that are entered from outside although no block of the region leads to them. */
  readonly resumed: readonly number[]
}

export interface PlannedPage {
  /** Distance from the anchor's page, in pages. */
  readonly delta: number
  readonly bytes: Uint8Array
}

export interface PlannedBlock {
  /** First byte, relative to the anchor. */
  readonly at: number
  /** Instructions. */
  readonly count: number
}

/** Bits in the word that says which pages of a region are mapped as it expects. */
export const MAXIMUM_REGION_PAGES = 32

/** A translated region, as its translator describes it to the dispatcher. */
export interface TranslatedRegion {
  readonly id: number
  /** Blocks that can be entered: their addresses relative to the anchor; positions are entry numbers. */
  readonly entries: readonly number[]
  /** EXIT_WORDS words an exit, see exits.ts. */
  readonly exits: Int32Array
  readonly instructions: number
}
