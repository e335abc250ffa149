import * as jax from "@jax-js/jax";
import { compile, compileStep, Tensor, scalar } from "./dist/index.js";
const {numpy:np, nn} = jax;
await jax.init("cpu","wasm"); jax.defaultDevice("wasm");
const T=(d,s,k=Float32Array)=>new Tensor(k.from(d),s);
const which=process.argv[2];
if(which==="div0"){ const p=await compile((a,b)=>a.div(b),[T([1,2],[2],Int32Array),T([1,0],[2],Int32Array)]); console.log(await p.run(T([1,2],[2],Int32Array),T([1,0],[2],Int32Array)))}
if(which==="mod0"){ const p=await compile((a,b)=>a.mod(b),[T([1,2],[2],Int32Array),T([1,0],[2],Int32Array)]); console.log(await p.run(T([1,2],[2],Int32Array),T([1,0],[2],Int32Array)))}
if(which==="eager0"){ console.log(np.array(Int32Array.of(1,2)).div(np.array(Int32Array.of(1,0))).js()); console.log(np.array(Int32Array.of(1,2)).mod(np.array(Int32Array.of(1,0))).js())}
if(which==="inflight"){ const n=800; const a=new Tensor(new Float32Array(n*n).fill(1),[n,n]); const p=await compile((a)=>{let b=a; for(let i=0;i<10;i++) b=np.matmul(b,a).mul(1e-3); return b;},[a]); const r=p.run(a); await p.dispose(); console.log("disposed"); console.log((await r).data[0]); }
if(which==="scatter"){
 const N=200000,V=7,D=5; const idx=new Int32Array(N).map((_,i)=>(i*7919)%V); const u=new Float32Array(N*D).map((_,i)=>Math.sin(i)*(i%13===0?1e4:1e-3));
 const f=(w,i,u)=>jax.grad((w)=>np.take(w,i,0).mul(u).sum())(w);
 const args=[T(new Float32Array(V*D),[V,D]),T(idx,[N],Int32Array),T(u,[N,D])];
 const exact=new Float64Array(V*D); for(let i=0;i<N;i++)for(let d=0;d<D;d++)exact[idx[i]*D+d]+=u[i*D+d];
 const bits=new Set();
 for(const threads of [1,2,4]) for (const deterministic of [true,false]){const p=await compile(f,args,{threads,deterministic}); for(let k=0;k<20;k++){const r=await p.run(...args); bits.add(threads+" "+deterministic+" "+Buffer.from(r.data.buffer,r.data.byteOffset,r.data.byteLength).toString("hex").slice(0,64)); if(k===0) console.log(threads,deterministic, Math.max(...r.data.map((x,i)=>Math.abs(x-exact[i]))), Math.max(...exact.map(Math.abs)));} await p.dispose();}
 console.log(bits.size,[...bits]);
}
if(which==="leak"){ const big=new Float32Array(250000).map((_,i)=>i); for(let k=0;k<60;k++){const p=await compile((x)=>x.mul(np.array(big)),[scalar(1)]); await p.dispose(); if(k%20===19){globalThis.gc?.();console.log(process.memoryUsage())}} }
