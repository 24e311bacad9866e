/** The npm client `etcd3` under types of our own: its own ones bring a second DOM into the program. */
// @ts-types="./etcd3.d.ts"
export * from "etcd3";
