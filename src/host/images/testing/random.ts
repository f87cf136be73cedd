/** A seeded generator (xorshift32): gives integers from 0 up to, without, its argument. */
export function randomOf(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761 >>> 0 || 1
  return below => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state % below
  }
}
