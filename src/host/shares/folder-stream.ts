import type { Dir } from 'node:fs'
import type { ByteString } from '../../storage/fuse/names.ts'

/** A file system's names, as Node's type has them only as text. */
type DirOfBytes = Omit<Dir, 'readSync'> & { readSync(): { readonly name: Buffer } | null }

/**
 * The names in an open folder, by number: `.` is 0, `..` is 1. They are read from the host as they are asked for, and only those that the
 * guest may come back to are kept: those from the last `discardBefore` on. Who goes back further makes it begin again.
 */
export class FolderStream {
  private readonly open: () => Dir
  private dir: DirOfBytes | undefined
  private names: ByteString[] = []
  /** Number of the first of `names`. */
  private first = FIRST
  private atEnd = false

  constructor(open: () => Dir) { this.open = open }

  /** Undefined beyond the end. */
  name(number: number): ByteString | undefined {
    if (number < FIRST) return number === 0 ? '.' : '..'
    if (number < this.first) this.rewind()
    while (number >= this.first + this.names.length && !this.atEnd) this.readName()
    return this.names[number - this.first]
  }

  discardBefore(number: number): void {
    if (number < this.first) return
    while (number > this.first + this.names.length && !this.atEnd) {
      this.readName()
      if (this.names.length === SKIPPED) this.drop(SKIPPED)
    }
    this.drop(Math.min(number - this.first, this.names.length))
  }

  close(): void {
    this.dir?.closeSync()
    this.dir = undefined
  }

  /** From the start, with what is in the folder by then. */
  rewind(): void {
    this.close()
    this.names = []
    this.first = FIRST
    this.atEnd = false
  }

  private readName(): void {
    this.dir ??= this.open() as unknown as DirOfBytes
    const entry = this.dir.readSync()
    if (entry === null) this.atEnd = true
    else this.names.push(Buffer.from(entry.name).toString('latin1'))
  }

  private drop(count: number): void {
    this.names.splice(0, count)
    this.first += count
  }
}

const FIRST = 2
/** Names that are read and dropped at once, on the way to one that is far. */
const SKIPPED = 1024
