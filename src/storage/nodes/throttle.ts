/**
 * A node whose requests keep to a budget, alone or together with others; see ThrottleGroup. Reads, writes and zeros cost their bytes and
 * a request, a discard a request, a flush nothing.
 */
import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, type Buffers } from '../buffers.ts'
import { contentExtent } from '../extents.ts'
import { Gate } from '../gate.ts'
import type { ThrottleMember } from './throttle-group.ts'

export class ThrottleNode implements BlockNode {
  readonly kind = 'throttle'
  readonly children: Readonly<Record<string, BlockNode>>
  private readonly node: BlockNode
  private readonly member: ThrottleMember
  private readonly gate = new Gate('the throttled disk')

  constructor(node: BlockNode, member: ThrottleMember) {
    this.node = node
    this.member = member
    this.children = { node }
  }

  get size(): number { return this.node.size }
  get readOnly(): boolean { return this.node.readOnly }

  read(offset: number, into: Buffers): Promise<void> {
    const length = byteLength(into)
    return this.paced(offset, length, false, length, () => this.node.read(offset, into))
  }

  write(offset: number, from: Buffers): Promise<void> {
    const length = byteLength(from)
    return this.paced(offset, length, true, length, () => this.node.write(offset, from))
  }

  flush(): Promise<void> { return this.gate.run(() => this.node.flush()) }

  discard(offset: number, length: number): Promise<void> {
    return this.paced(offset, length, true, 0, () => this.node.discard(offset, length))
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    return this.paced(offset, length, true, length, () => this.node.writeZeroes(offset, length, mayUnmap))
  }

  extent(offset: number, length: number): Promise<Extent> {
    return this.gate.access(this, offset, length, false, () => contentExtent(this.node, offset, length))
  }

  resize(size: number): Promise<void> { return this.gate.run(() => this.node.resize(size)) }

  /** What waits for its turn goes at once. */
  close(): Promise<void> {
    this.member.release()
    return this.gate.close(() => this.node.close())
  }

  private paced(offset: number, length: number, writing: boolean, cost: number, operation: () => Promise<void>): Promise<void> {
    return this.gate.access(this, offset, length, writing, async () => {
      await this.member.pass(cost)
      await operation()
    })
  }
}
