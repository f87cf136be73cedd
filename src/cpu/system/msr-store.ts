/** MSRs that only hold what was written: values by index, 0 at first. */
export class MsrStore {
  private readonly values = new Map<number, bigint>()

  get(index: number): bigint { return this.values.get(index) ?? 0n }
  set(index: number, value: bigint): void { this.values.set(index, value) }
  clear(): void { this.values.clear() }
}
