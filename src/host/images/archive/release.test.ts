import { beforeAll, expect, test } from 'vitest'
import { makeKey, signRelease } from '../testing/fake-archive.ts'
import type { FakeKey } from '../testing/fake-archive.ts'
import { DEBIAN_ARCHIVE_KEYS } from './debian-keys.ts'
import { readRelease } from './release.ts'

let key: FakeKey
let otherKey: FakeKey
const digest = 'ab'.repeat(32)

beforeAll(async () => {
  [key, otherKey] = await Promise.all([makeKey(), makeKey()])
})

function releaseText(fields = '', date = new Date()): string {
  return `Origin: Debian\nCodename: bookworm\nDate: ${date.toUTCString()}\nAcquire-By-Hash: yes\n${fields}MD5Sum:\n 00 1 main/x\nSHA256:\n ${digest}  123 main/x\n`
}

const withCode = (code: string): unknown => expect.objectContaining({ code })

test('reads what a trusted key has signed', async () => {
  const release = await readRelease(await signRelease(releaseText(), key), 'bookworm', [otherKey.publicKey, key.publicKey])
  expect(release).toEqual({ codename: 'bookworm', acquireByHash: true, files: new Map([['main/x', { size: 123, sha256: digest }]]) })
})

test('rejects another\'s signature, a changed text and no signature', async () => {
  const signed = await signRelease(releaseText(), key)
  const invalid = withCode('SIGNATURE_INVALID')
  await expect(readRelease(signed, 'bookworm', [otherKey.publicKey])).rejects.toEqual(invalid)
  await expect(readRelease(signed.replace('123', '124'), 'bookworm', [key.publicKey])).rejects.toEqual(invalid)
  await expect(readRelease(releaseText(), 'bookworm', [key.publicKey])).rejects.toEqual(invalid)
  await expect(readRelease('<html>Please log in</html>', 'bookworm', [key.publicKey])).rejects.toEqual(invalid)
})

test('uses nothing that stands outside the signature', async () => {
  const signed = `Codename: trixie\n\n${await signRelease(releaseText(), key)}\nSHA256:\n ${digest} 1 main/y\n`
  const result = await readRelease(signed, 'bookworm', [key.publicKey]).then(({ files }) => [...files.keys()], error => (error as { code: string }).code)
  expect([['main/x'], 'SIGNATURE_INVALID']).toContainEqual(result)
})

test('rejects another suite than was asked for', async () => {
  await expect(readRelease(await signRelease(releaseText(), key), 'trixie', [key.publicKey])).rejects.toEqual(withCode('ARCHIVE_FORMAT_INVALID'))
})

test('rejects a release that is out of date or from the future', async () => {
  const day = 86_400_000
  const old = await signRelease(releaseText(`Valid-Until: ${new Date(Date.now() - 1000).toUTCString()}\n`), key)
  const fresh = await signRelease(releaseText(`Valid-Until: ${new Date(Date.now() + day).toUTCString()}\n`), key)
  const future = await signRelease(releaseText('', new Date(Date.now() + 3 * day)), key)
  await expect(readRelease(old, 'bookworm', [key.publicKey])).rejects.toEqual(withCode('SIGNATURE_EXPIRED'))
  await expect(readRelease(future, 'bookworm', [key.publicKey])).rejects.toEqual(withCode('SIGNATURE_EXPIRED'))
  expect((await readRelease(fresh, 'bookworm', [key.publicKey])).codename).toBe('bookworm')
})

test('Debian\'s keys are those of the fingerprints', async () => {
  const { readKeys } = await import('openpgp')
  const keys = (await Promise.all(DEBIAN_ARCHIVE_KEYS.map(armoredKeys => readKeys({ armoredKeys })))).flat()
  expect(keys.map(each => each.getFingerprint().toUpperCase())).toEqual([
    'B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8', '4D64FEC119C2029067D6E791F8D2585B8783D481',
    '04B54C3CDCA79751B16BC6B5225629DF75B188BD', '41587F7DB8C774BCCF131416762F67A0B2C39DE4',
  ])
})
