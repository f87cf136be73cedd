/** Where this decoder and iced-x86 differ on purpose, in one place. */
import iced from 'iced-x86'
import { isVex } from '../../isa/row.ts'
import { rows } from '../../isa/rows.ts'
import type { Description } from './oracle.ts'

const { DecoderOptions, Mnemonic } = iced

/** Encodings of features that are missing here execute as what they were before: WBINVD. */
export const ICED_OPTIONS = DecoderOptions.NoWbnoinvd

/** What iced decodes and this decoder calls invalid, because it has not got the feature. */
const MISSING = new Set([
  // 3DNow!, and AMD's other extensions.
  'femms', 'clzero', 'monitorx', 'mwaitx', 'rdpru', 'mcommit', 'invlpgb', 'tlbsync', 'movntss', 'movntsd', 'extrq', 'insertq',
  'psmash', 'pvalidate', 'rmpadjust', 'rmpupdate', 'rmpquery',
  // Hardware virtualization, system management, trusted execution.
  'vmlaunch', 'vmresume', 'vmxoff', 'vmxon', 'vmptrld', 'vmptrst', 'vmclear', 'vmread', 'vmwrite', 'vmfunc', 'invept', 'invvpid',
  'vmrun', 'vmload', 'vmsave', 'stgi', 'clgi', 'skinit', 'invlpga', 'rsm', 'getsec', 'getsecq', 'encls', 'enclu', 'enclv',
  'pconfig', 'tdcall', 'seamret', 'seamops', 'seamcall', 'pbndkb',
  // Transactions, protection keys, control-flow enforcement, user interrupts, FRED.
  'xbegin', 'xabort', 'xend', 'xtest', 'xsusldtrk', 'xresldtrk', 'rdpkru', 'wrpkru', 'incsspd', 'incsspq',
  'rstorssp', 'saveprevssp', 'setssbsy', 'clrssbsy', 'wrssd', 'wrssq', 'wrussd', 'wrussq', 'uiret', 'testui', 'clui', 'stui',
  'senduipi', 'lkgs', 'erets', 'eretu',
  // State components beyond XSAVE and XSAVEOPT.
  'xsavec', 'xsavec64', 'xsaves', 'xsaves64', 'xrstors', 'xrstors64',
  // Odds and ends.
  'ptwrite', 'movdiri', 'movdir64b', 'enqcmd', 'enqcmds', 'serialize', 'hreset', 'umonitor', 'umwait', 'tpause', 'rdmsrlist',
  'wrmsrlist', 'wrmsrns', 'aadd', 'aand', 'aor', 'axor', 'loadiwkey', 'aesencwide128kl', 'aesencwide256kl', 'aesdecwide128kl',
  'aesdecwide256kl', 'aesenc128kl', 'aesenc256kl', 'aesdec128kl', 'aesdec256kl', 'encodekey128', 'encodekey256', 'gf2p8mulb',
  'gf2p8affineqb', 'gf2p8affineinvqb', 'ccs_hash', 'ccs_encrypt', 'xstore', 'xcryptecb', 'xcryptcbc', 'xcryptctr', 'xcryptcfb',
  'xcryptofb', 'montmul', 'xsha1', 'undoc', 'xsha256', 'xsha512', 'xstore_alt', 'xsha512_alt',
])

/** Intel's processors have these in 64-bit mode only; iced's decoder accepts AMD's meaning everywhere. */
const ONLY_64 = new Set(['syscall', 'sysret', 'sysretq'])

/** Hints that do nothing without their feature: all of 0F 0D and 0F 18 to 0F 1F decodes as NOP here. */
const HINTS = new Set([
  'reservednop', 'endbr32', 'endbr64', 'rdsspd', 'rdsspq', 'cldemote', 'prefetch', 'prefetchit0', 'prefetchit1',
])

/** iced's names for what the SDM calls otherwise, or for undocumented aliases that have no row of their own. */
const RENAMED: Readonly<Record<string, string>> = {
  sal: 'shl', vmgexit: 'vmmcall', pcmpestri64: 'pcmpestri', pcmpestrm64: 'pcmpestrm', vpcmpestri64: 'vpcmpestri', vpcmpestrm64: 'vpcmpestrm',
}

const NAMES = new Map<number, string>()
for (const [name, value] of Object.entries(Mnemonic)) {
  if (typeof value === 'number') NAMES.set(value, name.toLowerCase())
}

/** Mnemonics that have rows with a VEX prefix. */
const OUR_VEX = new Set([...rows.filter(isVex).map((row) => row.mnemonic.split('_')[0].toLowerCase()), 'vmovq', 'vpinsrq', 'vpextrq'])

/** VAES and VPCLMULQDQ, features of their own: 256 bits. */
function isWideCrypto(instruction: iced.Instruction, name: string): boolean {
  return /^(vaes|vpclmul)/.test(name) && instruction.op0Register >= iced.Register.YMM0
}

/** True for what iced decodes and this decoder calls invalid. */
export function isIcedsAlone(instruction: iced.Instruction): boolean {
  const name = NAMES.get(instruction.mnemonic)!
  if (instruction.encoding === iced.EncodingKind.VEX) return !OUR_VEX.has(icedMnemonic(instruction)) || isWideCrypto(instruction, name)
  if (instruction.encoding !== iced.EncodingKind.Legacy) return true
  return MISSING.has(name) || (ONLY_64.has(name) && instruction.codeSize !== iced.CodeSize.Code64)
}

/** iced's mnemonic in our words. */
export function icedMnemonic(instruction: iced.Instruction): string {
  const name = NAMES.get(instruction.mnemonic)!
  if (HINTS.has(name)) return 'nop'
  const isFar = instruction.isCallFar || instruction.isCallFarIndirect || instruction.isJmpFar || instruction.isJmpFarIndirect
  return isFar ? `${name} far` : RENAMED[name] ?? name
}

/**
 * F3 90 with REX.B is PAUSE to iced. It is XCHG R8, RAX here, because AMD's processors (tried) execute that, and nothing relies
 * on it.
 */
export function isExtendedPause(bytes: Uint8Array, offset: number, instruction: iced.Instruction): boolean {
  return instruction.mnemonic === Mnemonic.Pause && (bytes[offset + instruction.length - 2] & 0xf1) === 0x41
}

/**
 * Operands whose size iced and the SDM's tables give differently, without consequence: the result is zero-extended or only its low
 * 16 bits are used.
 */
const ANY_REGISTER_SIZE = new Set([
  'arpl', 'lar', 'lsl', 'lldt', 'ltr', 'verr', 'verw', 'lmsw', 'movmskps', 'movmskpd', 'pmovmskb', 'extractps', 'pextrb', 'pextrw',
  'pinsrb', 'pinsrw',
])

/** The operands agree, or differ only in ways that do not matter. */
export function sameOperands(ours: Description, iceds: Description): boolean {
  return normalise(ours).join() === normalise(iceds).join()
}

function normalise({ mnemonic, operands }: Description): readonly string[] {
  // Hints access nothing: iced gives some no or two registers, or a memory operand of one byte.
  if (mnemonic === 'nop') return operands.filter((operand) => operand.startsWith('m')).map(withoutSize)
  // iced lists the implicit memory operands of XLAT and MASKMOVQ.
  if (mnemonic === 'xlatb') return []
  if (operands[0]?.startsWith('implicit')) return operands.slice(1)
  // iced leaves ST(0) out of x87 instructions with a memory operand.
  if (operands[0] === 'st0' && operands[1]?.startsWith('m')) return operands.slice(1)
  const withSegment = mnemonic === 'mov' && operands.some((operand) => /^[c-gs]s$/.test(operand))
  if (withSegment || ANY_REGISTER_SIZE.has(mnemonic.replace(/^v(?!err|erw)/, ''))) return operands.map(withoutSize)
  return operands
}

function withoutSize(operand: string): string {
  return operand.replace(/^([mr])\d+/, '$1')
}

/** F2 on a string instruction that does not compare: iced says REPNE, and it repeats like REP. */
export function icedRepne(instruction: iced.Instruction): string {
  return /^(cmps|scas)/.test(icedMnemonic(instruction)) ? 'repne' : 'rep'
}
