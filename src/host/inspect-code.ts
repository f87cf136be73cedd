import { FEATURE_NAMES } from '../cpu/system/cpuid.ts'
import { inspectRegion } from '../cpu/translator/inspect.ts'
import { hostError } from './errors.ts'

/** A loop that adds bytes: xor eax,eax; movzx edx,[rdi]; add eax,edx; inc rdi; cmp rdi,rsi; jne; ret. */
export const SAMPLE_CODE = Uint8Array.of(0x31, 0xc0, 0x0f, 0xb6, 0x17, 0x01, 0xd0, 0x48, 0xff, 0xc7, 0x48, 0x39, 0xf7, 0x75, 0xf3, 0xc3)

/** What the translator makes of a piece of 64-bit code, as text. Throws TenonError CODE_UNFIT. */
export function inspectCode(code: Uint8Array = SAMPLE_CODE): string {
  if (code.length === 0 || code.length > 4096) throw hostError('CODE_UNFIT', `there must be 1 to 4096 bytes of code, not ${code.length}`)
  const seen = inspectRegion(code, FEATURE_NAMES)
  if ('reason' in seen) throw hostError('CODE_UNFIT', `this code cannot be shown as a region: ${seen.reason}`)
  const where = (block: number): string => (block < 0 ? 'out' : `block ${block}`)
  return [
    'Guest code (64-bit mode, its first byte at 0):', '',
    ...seen.instructions.map(({ at, bytes, text }) => `  ${String(at).padStart(4)}  ${bytes.padEnd(24)}  ${text}`),
    '', 'The region: basic blocks, and where each goes on, or branches to:', '',
    ...seen.blocks.map(({ at, count, next, target }, number) => `  block ${number} at ${at}: ${count} instructions; on: ${where(next)}; branch: ${where(target)}`),
    '', 'Its exits, by number: where the guest goes on, and in what way (src/cpu/translator/exits.ts):', '',
    ...seen.exits.map(({ at, kind }, exit) => `  ${exit}: ${kind} at ${at}`),
    '', 'The WebAssembly function (0 cpu, 1 context, 2 base, 3 entry, 4 left, 5 valid) -> exit:', '',
    ...seen.wasm.map(line => `  ${line}`), '',
  ].join('\n')
}
