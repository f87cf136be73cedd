/**
 * The volume from which cloud-init takes a guest's first configuration: data source NoCloud, in cloud-init's documentation. It is
 * labelled `cidata`, and has the files `meta-data`, `user-data`, and `network-config` or `vendor-data` if need be.
 */
import { encodeUtf8 } from '../../base/utf8.ts'
import { emptyDirectory } from '../filesystems/tree.ts'
import type { Directory, RegularFile } from '../filesystems/tree.ts'
import { layOutIso } from './writer.ts'

const LABEL = 'cidata'
/** User data holds passwords and keys. */
const PERMISSIONS = 0o400

export interface Seed {
  /** YAML: `instance-id`, `local-hostname`. Another `instance-id` makes cloud-init configure the guest anew. */
  readonly metaData: string
  /** Cloud-config or a script. */
  readonly userData: string
  /** YAML, cloud-init's network configuration. */
  readonly networkConfig?: string
  readonly vendorData?: string
}

/** The volume's bytes. `time` in seconds since 1970. */
export async function makeSeed({ metaData, userData, networkConfig, vendorData }: Seed, time: number): Promise<Uint8Array> {
  const texts = { 'meta-data': metaData, 'user-data': userData, 'network-config': networkConfig, 'vendor-data': vendorData }
  const volume = layOutIso(treeOf(texts, time), { label: LABEL, time })
  const bytes = new Uint8Array(volume.size)
  await volume.writeTo({
    async write(offset, from) {
      for (const piece of from) {
        bytes.set(piece, offset)
        offset += piece.length
      }
    },
  })
  return bytes
}

function treeOf(texts: Readonly<Record<string, string | undefined>>, modified: number): Directory {
  const root = emptyDirectory(0o755, modified)
  for (const [name, text] of Object.entries(texts)) {
    if (text === undefined) continue
    const bytes = encodeUtf8(text)
    const content: RegularFile['content'] = () => [bytes]
    root.children.set(name, { kind: 'file', permissions: PERMISSIONS, uid: 0, gid: 0, modified, size: bytes.length, content })
  }
  return root
}
