/**
 * Reads what a kernel module says about itself: `KEY=VALUE` strings in the ELF section `.modinfo` (Linux include/linux/moduleinfo.h).
 * Section headers are those of ELF-64, little-endian (System V ABI, chapter 4).
 */
export type ModuleInfo = ReadonlyMap<string, readonly string[]>

const ELF64_LITTLE_ENDIAN = [0x7f, 0x45, 0x4c, 0x46, 2, 1]
const SECTION_HEADER_SIZE = 64

/** Empty where the file is no ELF module or is damaged. */
export function readModuleInfo(file: Uint8Array): ModuleInfo {
  const section = findSection(file, '.modinfo')
  const info = new Map<string, string[]>()
  for (const text of new TextDecoder().decode(section).split('\0')) {
    const equals = text.indexOf('=')
    if (equals < 0) continue
    const key = text.slice(0, equals)
    info.set(key, [...info.get(key) ?? [], text.slice(equals + 1)])
  }
  return info
}

function findSection(file: Uint8Array, name: string): Uint8Array {
  if (file.length < 64 || ELF64_LITTLE_ENDIAN.some((byte, index) => file[index] !== byte)) return new Uint8Array(0)
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const table = Number(view.getBigUint64(0x28, true))
  const count = view.getUint16(0x3c, true)
  if (table + count * SECTION_HEADER_SIZE > file.length) return new Uint8Array(0)
  const headers = Array.from({ length: count }, (_, index) => {
    const at = table + index * SECTION_HEADER_SIZE
    const offset = Number(view.getBigUint64(at + 0x18, true))
    return { name: view.getUint32(at, true), bytes: file.subarray(offset, offset + Number(view.getBigUint64(at + 0x20, true))) }
  })
  const names = headers[view.getUint16(0x3e, true)]?.bytes ?? new Uint8Array(0)
  const wanted = new TextEncoder().encode(`${name}\0`)
  const isWanted = (at: number): boolean => wanted.every((byte, index) => names[at + index] === byte)
  return headers.find(header => isWanted(header.name))?.bytes ?? new Uint8Array(0)
}
