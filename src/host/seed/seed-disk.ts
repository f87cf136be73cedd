/**
 * A seed as a disk: the kind `seed` of a description, so that no file has to hold it.
 *
 *     { kind: 'seed', metaData: '…', userData: '…', time: 1732752000 }
 *
 * Optional: `networkConfig`, `vendorData`. `time` in seconds since 1970. It is read-only.
 */
import type { BlockNode } from '../../storage/block-node.ts'
import { Description } from '../../storage/description.ts'
import type { KindOpener } from '../../storage/format.ts'
import { makeSeed, type Seed } from '../../storage/iso9660/seed.ts'
import { MemoryNode } from '../../storage/nodes/memory.ts'

export const openSeedKind: KindOpener = async (fields): Promise<BlockNode> => {
  const description = new Description('seed', fields)
  description.part('kind')
  const optional = (name: string): string | undefined => description.has(name) ? description.string(name) : undefined
  const seed: Seed = {
    metaData: description.string('metaData'), userData: description.string('userData'), networkConfig: optional('networkConfig'), vendorData: optional('vendorData'),
  }
  const time = description.integer('time', 0)
  description.boolean('readOnly', true)
  description.end()
  const content = await makeSeed(seed, time)
  return new MemoryNode({ size: content.length, content, readOnly: true })
}
