import { expect, test } from 'vitest'
import { inspectCode } from './inspect-code.ts'

test('a loop is shown with its blocks, its exits and its WebAssembly', () => {
  const text = inspectCode()
  expect(text).toMatch(/movzx edx, byte ptr \[rdi\]|movzx/)
  expect(text).toMatch(/block 1 at 2: 5 instructions; on: block 2; branch: block 1/)
  expect(text).toMatch(/HERE at 2\n/)
  expect(text).toMatch(/^ +loop$/m)
  expect(text).toMatch(/^ +i32\.load8_u$/m)
  expect(text).not.toMatch(/0x[0-9a-f]+$/m)
})

test.each([
  [Uint8Array.of(), /1 to 4096 bytes/], [new Uint8Array(5000), /1 to 4096 bytes/], [Uint8Array.of(0x06), /bytes at 0 are no instruction/],
  [Uint8Array.of(0x0f, 0xa2), /left to the interpreter/],
])('%s is refused', (code, message) => {
  expect(() => inspectCode(code)).toThrow(expect.objectContaining({ code: 'CODE_UNFIT', message: expect.stringMatching(message) }))
})
