/** Where random bytes come from: a generator fit for keys. */
export interface EntropySource {
  /** Fills all of the array, at once. At most 65536 bytes. */
  fill(bytes: Uint8Array): void
}
