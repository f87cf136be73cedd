/**
 * A raw disk of which nobody has said that it is raw. A guest that writes another format's header to its start would have its next
 * opening follow that header, to any file of the host that it names as its backing file. So such a write is refused.
 */
import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, gatherInto, sliceBuffers, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { Gate } from '../gate.ts'
import { RangeLock } from '../range-lock.ts'

const TAIL = 512
const HEAD = 4096

export class ProbedRawNode implements BlockNode {
  readonly kind = 'raw'
  private readonly node: BlockNode
  private readonly looksForeign: (ends: { readonly head: Uint8Array, readonly tail: Uint8Array }) => boolean
  private readonly ends = new RangeLock()
  private readonly gate = new Gate('the raw disk')

  /** `looksForeign` says whether a file with such ends would be opened as another format. */
  constructor(node: BlockNode, looksForeign: (ends: { readonly head: Uint8Array, readonly tail: Uint8Array }) => boolean) {
    this.node = node
    this.looksForeign = looksForeign
  }

  get size(): number { return this.node.size }
  get readOnly(): boolean { return this.node.readOnly }
  get children(): Readonly<Record<string, BlockNode>> { return this.node.children }

  read(offset: number, into: Buffers): Promise<void> { return this.node.read(offset, into) }

  /** One write of an end at a time, so that several together cannot make what none of them would. */
  write(offset: number, from: Buffers): Promise<void> {
    const length = byteLength(from)
    return this.gate.access(this, offset, length, true, () => {
      if (!this.touchesEnds(offset, length)) return this.node.write(offset, from)
      return this.ends.run(0, 1, true, async () => {
        await this.checkEnds(offset, from)
        await this.node.write(offset, from)
      })
    })
  }

  flush(): Promise<void> { return this.node.flush() }
  discard(offset: number, length: number): Promise<void> { return this.node.discard(offset, length) }
  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> { return this.node.writeZeroes(offset, length, mayUnmap) }
  extent(offset: number, length: number): Promise<Extent> { return this.node.extent(offset, length) }
  resize(size: number): Promise<void> { return this.node.resize(size) }
  close(): Promise<void> { return this.gate.close(() => this.node.close()) }

  private touchesEnds(offset: number, length: number): boolean {
    return length > 0 && (offset < HEAD || offset + length > this.size - TAIL)
  }

  private async checkEnds(offset: number, from: Buffers): Promise<void> {
    const head = await this.after(0, Math.min(HEAD, this.size), offset, from)
    const tailLength = Math.min(TAIL, this.size)
    const tail = await this.after(this.size - tailLength, tailLength, offset, from)
    if (!this.looksForeign({ head, tail })) return
    throw storageError('DISK_WRITE_FAILED',
      'a write would make this raw disk look like another format: give its format as raw, where it is described, to allow it')
  }

  /** What a range would have after the write. */
  private async after(start: number, length: number, offset: number, from: Buffers): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    await this.node.read(start, [bytes])
    const first = Math.max(start, offset)
    const last = Math.min(start + length, offset + byteLength(from))
    if (first < last) gatherInto(bytes.subarray(first - start), sliceBuffers(from, first - offset, last - first))
    return bytes
  }
}
