import { qcow2Contract } from './testing/contract.ts'

qcow2Contract('64 KiB clusters', {}, 20)
qcow2Contract('512-byte clusters and refcounts of 64 bits', { clusterSize: 512, refcountBits: 64 }, 20)
