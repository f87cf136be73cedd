import { bootError } from './errors.ts'

/**
 * The setup header of a bzImage (Linux Documentation/arch/x86/boot.rst, protocol 2.12 and later), checked against the file.
 */
export interface SetupHeader {
  /** Bytes 0x1f1 to the header's end, as they go into the zero page at the same offset. */
  readonly bytes: Uint8Array
  /** Where the protected-mode code is in the file. */
  readonly codeOffset: number
  readonly codeSize: number
  /** Where the code asks to be loaded, and how many bytes from there it uses before it knows the memory map. */
  readonly loadAddress: number
  readonly initSize: number
  /** Highest address that a byte of the initrd may have. */
  readonly initrdAddressMaximum: number
  /** Most bytes of command line that the kernel reads, without the NUL. */
  readonly commandLineSize: number
  /** The compressed kernel in the file; length 0 if the header names none. */
  readonly payloadOffset: number
  readonly payloadLength: number
}

export const SETUP_HEADER_OFFSET = 0x1f1
/** End of the zero page's room for the header. */
const SETUP_HEADER_LIMIT = 0x290
const MINIMUM_HEADER_END = 0x268
const SECTOR = 512

const Field = {
  SETUP_SECTS: 0x1f1, SYSSIZE: 0x1f4, BOOT_FLAG: 0x1fe, JUMP_DISTANCE: 0x201, HEADER: 0x202, VERSION: 0x206, LOADFLAGS: 0x211,
  INITRD_ADDR_MAX: 0x22c, XLOADFLAGS: 0x236, CMDLINE_SIZE: 0x238, PAYLOAD_OFFSET: 0x248, PAYLOAD_LENGTH: 0x24c, PREF_ADDRESS: 0x258,
  INIT_SIZE: 0x260,
} as const
const BOOT_FLAG = 0xaa55
const HEADER_MAGIC = 0x53726448 // 'HdrS'
const FIRST_64_BIT_VERSION = 0x20c
const LOADED_HIGH = 1
const XLF_KERNEL_64 = 1

/** True if the file has a Linux boot sector, of whatever protocol. */
export function isLinuxImage(file: Uint8Array): boolean {
  if (file.length < Field.VERSION) return false
  const view = viewOf(file)
  return view.getUint16(Field.BOOT_FLAG, true) === BOOT_FLAG && view.getUint32(Field.HEADER, true) === HEADER_MAGIC
}

/** Reads the header of a file for which isLinuxImage holds. Throws TenonError (BootErrorCode). */
export function readSetupHeader(file: Uint8Array): SetupHeader {
  if (file.length < MINIMUM_HEADER_END) throw truncated(file, MINIMUM_HEADER_END)
  const view = viewOf(file)
  checkProtocol(view)
  const codeOffset = ((view.getUint8(Field.SETUP_SECTS) || 4) + 1) * SECTOR
  const codeSize = view.getUint32(Field.SYSSIZE, true) * 16
  if (file.length < codeOffset + codeSize) throw truncated(file, codeOffset + codeSize)
  const header = {
    bytes: file.subarray(SETUP_HEADER_OFFSET, headerEnd(view)),
    codeOffset,
    codeSize,
    loadAddress: Number(view.getBigUint64(Field.PREF_ADDRESS, true)),
    initSize: Math.max(view.getUint32(Field.INIT_SIZE, true), codeSize),
    initrdAddressMaximum: view.getUint32(Field.INITRD_ADDR_MAX, true),
    commandLineSize: view.getUint32(Field.CMDLINE_SIZE, true),
    payloadOffset: codeOffset + view.getUint32(Field.PAYLOAD_OFFSET, true),
    payloadLength: view.getUint32(Field.PAYLOAD_LENGTH, true),
  }
  checkFields(header)
  return header
}

function checkProtocol(view: DataView): void {
  const version = view.getUint16(Field.VERSION, true)
  const name = `${version >> 8}.${version & 0xff}`
  if (version < FIRST_64_BIT_VERSION) {
    throw bootError('KERNEL_UNSUPPORTED',
      `this Linux kernel speaks boot protocol ${name}; 2.12 or later is needed (Linux 3.8 of 2013 or later)`)
  }
  if ((view.getUint8(Field.LOADFLAGS) & LOADED_HIGH) === 0) {
    throw bootError('KERNEL_UNSUPPORTED', 'this Linux kernel is a zImage, which loads into low memory: build a bzImage')
  }
  if ((view.getUint16(Field.XLOADFLAGS, true) & XLF_KERNEL_64) === 0) {
    throw bootError('KERNEL_UNSUPPORTED', 'this Linux kernel has no 64-bit entry: use one that is built for x86-64')
  }
}

/** The jump at 0x200 leaps over the header: its target is the header's end. */
function headerEnd(view: DataView): number {
  const end = Field.HEADER + view.getUint8(Field.JUMP_DISTANCE)
  return Math.min(Math.max(end, MINIMUM_HEADER_END), SETUP_HEADER_LIMIT, view.byteLength)
}

function checkFields(header: SetupHeader): void {
  const codeEnd = header.codeOffset + header.codeSize
  const MINIMUM_CODE = 0x400 // the 64-bit entry is at 0x200
  if (header.codeSize < MINIMUM_CODE || header.loadAddress < 0x100000 || header.loadAddress % 4096 !== 0) {
    throw bootError('KERNEL_CORRUPT',
      'the setup header of this Linux kernel is damaged (code size or load address): fetch the file again')
  }
  if (header.payloadLength > 0 && header.payloadOffset + header.payloadLength > codeEnd) {
    throw bootError('KERNEL_CORRUPT',
      'the setup header of this Linux kernel places its payload beyond its end: fetch the file again')
  }
}

function truncated(file: Uint8Array, needed: number): Error {
  return bootError('KERNEL_TRUNCATED',
    `the Linux kernel's file has ${file.length} bytes of at least ${needed}: fetch or copy it again`)
}

function viewOf(bytes: Uint8Array): DataView { return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) }
