import { isElf, readElf } from './elf.ts'
import type { ElfImage } from './elf.ts'
import { bootError } from './errors.ts'
import { BUILT_IN_DECOMPRESSORS, decompressPayload, detectCompression } from './payload.ts'
import type { Compression, Decompressors } from './payload.ts'
import { isLinuxImage, readSetupHeader } from './setup-header.ts'
import type { SetupHeader } from './setup-header.ts'

/**
 * A kernel that was recognised and, if possible, decompressed. It has a setup header if it came as a bzImage and an ELF if it is a
 * vmlinux or was decompressed to one; a bzImage without `elf` decompresses itself in the guest.
 */
export interface KernelImage {
  readonly file: Uint8Array
  readonly header?: SetupHeader
  readonly elf?: ElfImage
  /** Of a bzImage's payload, where known. */
  readonly compression?: Compression
}

/**
 * Recognises a kernel's file and decompresses it. `decompressors` adds to the built-in ones; a format without a decompressor is
 * left to the guest. The result keeps views into `file`. Throws TenonError (BootErrorCode).
 */
export async function openKernel(file: Uint8Array, decompressors: Decompressors = {}): Promise<KernelImage> {
  if (isElf(file)) return { file, elf: readElf(file) }
  if (!isLinuxImage(file)) throw notRecognised(file)
  const header = readSetupHeader(file)
  const payload = file.subarray(header.payloadOffset, header.payloadOffset + header.payloadLength)
  const compression = detectCompression(payload)
  const decompress = compression && { ...BUILT_IN_DECOMPRESSORS, ...decompressors }[compression]
  if (compression === undefined || decompress === undefined) return { file, header, compression }
  const vmlinux = await decompressPayload(payload, compression, decompress)
  return isElf(vmlinux) ? { file, header, compression, elf: readElf(vmlinux) } : { file, header, compression }
}

/** Files that people take for kernels: where a mark stands, the mark, and what to say. */
const LOOKALIKES: readonly (readonly [number, string, string])[] = [
  [0x38, 'ARM\x64', 'it is a Linux kernel for AArch64: use one for x86-64'],
  [0x30, 'RISCV', 'it is a Linux kernel for RISC-V: use one for x86-64'],
  [0, '!<arch>\n', 'it is a package or library archive: give the vmlinuz file inside it'],
  [0, 'QFI\xfb', 'it is a qcow2 disk image, and a kernel is needed'],
  [0x8001, 'CD001', 'it is a CD image, and a kernel is needed'],
  [0, '070701', 'it is an initramfs: give it as the initrd'],
  [0, 'MZ', 'it is an EFI or DOS program without a Linux setup header'],
]

function notRecognised(file: Uint8Array): Error {
  const advice = 'give a bzImage (vmlinuz) or an ELF vmlinux for x86-64'
  if (file.length === 0) return bootError('KERNEL_NOT_RECOGNISED', `the kernel file is empty: ${advice}`)
  const compression = detectCompression(file)
  if (compression !== undefined) {
    return bootError('KERNEL_NOT_RECOGNISED',
      `the kernel file is compressed with ${compression} as a whole: decompress it, or ${advice}`)
  }
  const lookalike = LOOKALIKES.find(([offset, mark]) => hasMark(file, offset, mark))
  return bootError('KERNEL_NOT_RECOGNISED', `the kernel file is not a kernel for this machine: ${lookalike?.[2] ?? advice}`)
}

function hasMark(file: Uint8Array, offset: number, mark: string): boolean {
  return Array.from(mark).every((character, index) => file[offset + index] === character.charCodeAt(0))
}
