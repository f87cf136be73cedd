import { expect, test } from 'vitest'
import { Block } from '../state/layout.ts'
import { VcpuState } from '../state/vcpu-state.ts'
import { aesHelpers } from './aes.ts'

const state = new VcpuState(new ArrayBuffer(0x4000), 1024, 4096)

type Words = number[]
const fromHex = (text: string): Words => [0, 8, 16, 24].map((at) => Number.parseInt(text.slice(at, at + 8).replace(/(..)(..)(..)(..)/, '$4$3$2$1'), 16) | 0)
const toHex = (words: Words): string =>
  words.map((word) => (word >>> 0).toString(16).padStart(8, '0').replace(/(..)(..)(..)(..)/, '$4$3$2$1')).join('')
const exclusive = (a: Words, b: Words): Words => a.map((word, n) => word ^ b[n])

function call(name: string, first: Words, second: Words = [0]): Words {
  first.forEach((word, n) => state.setBlockU32(Block.ARGUMENTS + n * 4, word))
  second.forEach((word, n) => state.setBlockU32(Block.ARGUMENTS + 16 + n * 4, word))
  aesHelpers[name]({ state })
  return [0, 4, 8, 12].map((at) => state.blockU32(Block.RESULT + at) | 0)
}

/** FIPS 197 §5.2 for a key of 128 bits. */
function expand(key: Words): Words[] {
  const keys = [key]
  for (let round = 0, constant = 1; round < 10; round++, constant = constant << 1 ^ (constant >> 7) * 0x11b) {
    const next = keys[round].slice()
    next[0] ^= call('AESKEYGENASSIST', keys[round], [constant])[3]
    for (let word = 1; word < 4; word++) next[word] ^= next[word - 1]
    keys.push(next)
  }
  return keys
}

// FIPS 197 appendix B.
const KEY = fromHex('2b7e151628aed2a6abf7158809cf4f3c')
const PLAIN = '3243f6a8885a308d313198a2e0370734'
const CIPHER = '3925841d02dc09fbdc118597196a0b32'

test('the key expands as in appendix A.1', () => {
  expect(toHex(expand(KEY)[10])).toBe('d014f9a8c9ee2589e13f0cc8b6630ca6')
})

test('ten rounds encrypt the example of appendix B', () => {
  const keys = expand(KEY)
  const nine = keys.slice(1, 10).reduce((text, key) => call('AESENC', text, key), exclusive(fromHex(PLAIN), keys[0]))
  expect(toHex(call('AESENCLAST', nine, keys[10]))).toBe(CIPHER)
})

test('the equivalent inverse cipher decrypts it', () => {
  const keys = expand(KEY)
  const inner = keys.slice(1, 10).reverse().map((key) => call('AESIMC', key))
  const nine = inner.reduce((text, key) => call('AESDEC', text, key), exclusive(fromHex(CIPHER), keys[10]))
  expect(toHex(call('AESDECLAST', nine, keys[0]))).toBe(PLAIN)
})
