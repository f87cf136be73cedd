import { storageError } from './errors.ts'

/**
 * What every node does around its operations: check the range, refuse writes where there are none, refuse everything once closed, and
 * let `close` wait for what is in flight.
 */
export class Gate {
  private readonly name: string
  private inFlight = 0
  private closing: Promise<void> | null = null
  private drained: (() => void) | null = null

  /** `name` is for messages: the node's kind and where it lies. */
  constructor(name: string) { this.name = name }

  get closed(): boolean { return this.closing !== null }

  /** Rejects with DISK_CLOSED once `close` was called. */
  async run<Result>(operation: () => Promise<Result>): Promise<Result> {
    if (this.closing !== null) throw storageError('DISK_CLOSED', `${this.name} is closed: open it again to use it`)
    this.inFlight++
    try {
      return await operation()
    } finally {
      if (--this.inFlight === 0) this.drained?.()
    }
  }

  /** As `run`, for an access to bytes. Rejects with DISK_OUT_OF_RANGE, or DISK_READ_ONLY for `writing`. */
  access<Result>(
    disk: { readonly size: number, readonly readOnly: boolean }, offset: number, length: number, writing: boolean,
    operation: () => Promise<Result>,
  ): Promise<Result> {
    return this.run(() => {
      if (writing) checkWritable(this.name, disk)
      checkRange(this.name, disk.size, offset, length)
      return operation()
    })
  }

  /** Waits for what is in flight, then runs `last` once. Further calls wait for the same end. */
  close(last: () => Promise<void>): Promise<void> {
    this.closing ??= this.drain().then(last)
    return this.closing
  }

  private async drain(): Promise<void> {
    if (this.inFlight > 0) await new Promise<void>((resolve) => { this.drained = resolve })
  }
}

export function checkWritable(name: string, disk: { readonly readOnly: boolean }): void {
  if (disk.readOnly) throw storageError('DISK_READ_ONLY', `${name} is open for reading only and cannot be written`)
}

/** Offsets and lengths are whole numbers from 0 on, and end inside `size`. */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 && offset <= size - length) return
  throw storageError('DISK_OUT_OF_RANGE', `${name} has ${size} bytes: ${length} bytes at ${offset} are not inside it`)
}

/** A size that a disk may get: at most 2^53 - 1 bytes, a multiple of `unit`. */
export function checkSize(name: string, size: number, unit = 1): void {
  if (Number.isSafeInteger(size) && size >= 0 && size % unit === 0) return
  throw storageError('DISK_OUT_OF_RANGE', `${name} cannot have a size of ${size} bytes: it is a multiple of ${unit} and below 8 PiB`)
}
