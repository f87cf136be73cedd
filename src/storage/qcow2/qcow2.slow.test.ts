import { qcow2Contract } from './testing/contract.ts'

const CRASHES = 120

qcow2Contract('64 KiB clusters, many crashes', {}, CRASHES)
qcow2Contract('512-byte clusters and refcounts of 64 bits', { clusterSize: 512, refcountBits: 64 }, CRASHES)
qcow2Contract('512-byte clusters', { clusterSize: 512 }, CRASHES)
qcow2Contract('1 KiB clusters and refcounts of a bit', { clusterSize: 1024, refcountBits: 1 }, CRASHES)
qcow2Contract('4 KiB clusters and lazy refcounts', { clusterSize: 4096, lazyRefcounts: true }, CRASHES)
qcow2Contract('2 MiB clusters', { clusterSize: 2 << 20 }, 20)
qcow2Contract('version 2', { clusterSize: 4096, version: 2 }, CRASHES)
qcow2Contract('preallocated', { clusterSize: 4096, preallocation: 'metadata' }, CRASHES)
qcow2Contract('above a backing disk', { clusterSize: 4096, backingFile: 'base' }, CRASHES)
qcow2Contract('version 2 above a backing disk', { clusterSize: 4096, version: 2, backingFile: 'base' }, CRASHES)
