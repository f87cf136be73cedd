import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { shareOrders, shareWords } from './guest-share.ts'
import { formatShare, parseShare } from './share-text.ts'

test.each([
  ['./src:/mnt/src', { path: resolve('/home/me', 'src'), mountPoint: '/mnt/src' }],
  ['/a:b:/c,readonly', { path: resolve('/a:b'), mountPoint: '/c', readOnly: true }],
  ['/a,b:/c,uid=1000,gid=0', { path: resolve('/a,b'), mountPoint: '/c', user: 1000, group: 0 }],
])('%s is a share', (text, share) => {
  expect(parseShare(text, '/home/me')).toEqual(share)
  expect(parseShare(formatShare(share), '/')).toEqual(share)
})

test.each(['', 'src', '/src', ':/mnt', '/src:mnt', '/src:/', '/src:/a b', '/src:/a/../b', '/src:/a//b', '/src:/a/', '/src:/a,writable',
  '/src:/a,uid=-1', '/src:/a,uid=4294967295', `/src:/${'x'.repeat(200)}`, '/src:/a%s', '/src:/$(reboot)'])('%j is none', text => {
  expect(() => parseShare(text, '/')).toThrow(expect.objectContaining({ code: 'SHARE_UNFIT' }))
})

test('each gets a tag, and a word for the guest that says where it belongs', () => {
  const shares = [{ path: '/a', mountPoint: '/mnt/a' }, { path: '/b', mountPoint: '/mnt/b', readOnly: true, user: 7 }]
  expect(shareOrders(shares)).toEqual([{ path: '/a', tag: 'share0' }, { path: '/b', readOnly: true, user: 7, tag: 'share1' }])
  expect(shareWords(shares)).toEqual(['tenon.share=share0:rw:/mnt/a', 'tenon.share=share1:ro:/mnt/b'])
  expect(() => shareOrders([shares[0], shares[0]])).toThrow(expect.objectContaining({ code: 'SHARE_UNFIT' }))
})
