import { ByteWriter } from '../../firmware/byte-writer.ts'

/** Kernels made of a few bytes, for tests: well-formed unless a part is given that is not. */

export interface SyntheticSegment {
  readonly physical: number
  readonly bytes: Uint8Array
  readonly memorySize?: number
}

export interface SyntheticElf {
  readonly class?: 32 | 64
  readonly machine?: number
  readonly type?: number
  readonly entry?: number
  readonly segments?: readonly SyntheticSegment[]
  readonly notes?: Uint8Array
}

export const KERNEL_ADDRESS = 0x1000000

const PT_LOAD = 1
const PT_NOTE = 4

export function syntheticElf(parts: SyntheticElf = {}): Uint8Array {
  const is64 = (parts.class ?? 64) === 64
  const segments = parts.segments ?? [{ physical: KERNEL_ADDRESS, bytes: Uint8Array.of(0xf4, 0xeb, 0xfd), memorySize: 0x2000 }]
  const notes = parts.notes ?? new Uint8Array(0)
  const content = [...segments.map(segment => ({ ...segment, type: PT_LOAD })), { physical: 0, bytes: notes, type: PT_NOTE }]
  const headersEnd = is64 ? 64 + 56 * content.length : 52 + 32 * content.length
  const writer = new ByteWriter()
  elfHeader(writer, is64, parts, content.length)
  let offset = headersEnd
  for (const { type, physical, bytes, memorySize } of content) {
    const size = memorySize ?? bytes.length
    if (is64) writer.u32(type).u32(5).u64(offset).u64(physical).u64(physical).u64(bytes.length).u64(size).u64(0x1000)
    else writer.u32(type).u32(offset).u32(physical).u32(physical).u32(bytes.length).u32(size).u32(5).u32(0x1000)
    offset += bytes.length
  }
  for (const { bytes } of content) writer.bytes(bytes)
  return writer.toBytes()
}

function elfHeader(writer: ByteWriter, is64: boolean, parts: SyntheticElf, headerCount: number): void {
  const entry = parts.entry ?? KERNEL_ADDRESS
  writer.bytes([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, 1, 1]).zeros(9)
  writer.u16(parts.type ?? 2).u16(parts.machine ?? (is64 ? 62 : 3)).u32(1)
  if (is64) writer.u64(entry).u64(64).u64(0).u32(0).u16(64).u16(56).u16(headerCount).u16(0).u16(0).u16(0)
  else writer.u32(entry).u32(52).u32(0).u32(0).u16(52).u16(32).u16(headerCount).u16(0).u16(0).u16(0)
}

export function elfNote(owner: string, type: number, description: Uint8Array): Uint8Array {
  const ownerSize = owner.length + 1
  return new ByteWriter().u32(ownerSize).u32(description.length).u32(type)
    .ascii(owner).zeros(1 + (-ownerSize & 3))
    .bytes(description).zeros(-description.length & 3).toBytes()
}

/** Xen's PHYS32_ENTRY note, as Linux writes it: eight bytes. */
export function pvhNote(entry: number): Uint8Array { return elfNote('Xen', 18, new ByteWriter().u64(entry).toBytes()) }

export interface SyntheticBzImage {
  readonly payload?: Uint8Array
  readonly version?: number
  readonly xloadflags?: number
  readonly loadAddress?: number
  readonly initSize?: number
  readonly commandLineSize?: number
}

const SETUP_SIZE = 5 * 512
const PAYLOAD_OFFSET = 0x300

/** A setup of five sectors, then protected-mode code that holds the payload at 0x300. */
export function syntheticBzImage(parts: SyntheticBzImage = {}): Uint8Array {
  const payload = parts.payload ?? new Uint8Array(0)
  const codeSize = Math.ceil((PAYLOAD_OFFSET + payload.length + 0x200) / 16) * 16
  const file = new Uint8Array(SETUP_SIZE + codeSize)
  const view = new DataView(file.buffer)
  view.setUint8(0x1f1, 4)
  view.setUint32(0x1f4, codeSize / 16, true)
  view.setUint16(0x1fe, 0xaa55, true)
  view.setUint16(0x200, 0x6aeb, true)
  view.setUint32(0x202, 0x53726448, true)
  view.setUint16(0x206, parts.version ?? 0x20f, true)
  view.setUint8(0x211, 1)
  view.setUint32(0x22c, 0x7fffffff, true)
  view.setUint16(0x236, parts.xloadflags ?? 1, true)
  view.setUint32(0x238, parts.commandLineSize ?? 2047, true)
  view.setUint32(0x248, PAYLOAD_OFFSET, true)
  view.setUint32(0x24c, payload.length, true)
  view.setBigUint64(0x258, BigInt(parts.loadAddress ?? KERNEL_ADDRESS), true)
  view.setUint32(0x260, parts.initSize ?? 0x100000, true)
  file.fill(0x90, SETUP_SIZE)
  file.set(payload, SETUP_SIZE + PAYLOAD_OFFSET)
  return file
}

/** A legacy LZ4 frame that stores its bytes as literals, with the size that the kernel's build appends. */
export function storedLz4Payload(bytes: Uint8Array): Uint8Array {
  const block = new ByteWriter()
  if (bytes.length < 15) block.u8(bytes.length << 4)
  else {
    block.u8(0xf0)
    for (let rest = bytes.length - 15; ; rest -= 255) {
      block.u8(Math.min(rest, 255))
      if (rest < 255) break
    }
  }
  block.bytes(bytes)
  return new ByteWriter().u32(0x184c2102).u32(block.length).bytes(block.toBytes()).u32(bytes.length).toBytes()
}
