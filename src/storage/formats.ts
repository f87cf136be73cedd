import type { DiskFormat, Probe } from './format.ts'
import { RawNode } from './nodes/raw.ts'
import { QCOW2 } from './qcow2/format.ts'
import type { StorageFile } from './storage-file.ts'
import { VHD } from './vhd/open.ts'
import { VMDK } from './vmdk/open.ts'

export const RAW: DiskFormat = {
  name: 'raw',
  recognises: () => false,
  open: async (file, context) => new RawNode(file, context.readOnly),
}

/** Every format that is known; one line each. */
export const FORMATS: readonly DiskFormat[] = [
  RAW, QCOW2, VHD, VMDK,
]

/** What other programs call some of them, in files that name the format of their backing file. */
export const FORMAT_ALIASES: Readonly<Record<string, string | undefined>> = { vpc: 'vhd' }

const HEAD_BYTES = 4096
const TAIL_BYTES = 512

/** The format whose marks a file has; raw if it has none's. */
export async function probeFormat(file: StorageFile, formats = FORMATS): Promise<DiskFormat> {
  const head = new Uint8Array(Math.min(HEAD_BYTES, file.size))
  const tail = new Uint8Array(Math.min(TAIL_BYTES, file.size))
  await file.read(0, [head])
  await file.read(file.size - tail.length, [tail])
  return formatOf({ head, tail }, formats)
}

export function formatOf(probe: Probe, formats = FORMATS): DiskFormat {
  return formats.find(format => format.recognises(probe)) ?? RAW
}
