import * as jax from "@jax-js/jax";
import { compile, Tensor } from "./dist/index.js";
const {numpy:np, nn} = jax;
const T=(d,s,k=Float32Array)=>new Tensor(k.from(d),s);
const N=2048,V=512,D=256; const idx=new Int32Array(N).map((_,i)=>(i*7919)%V); const u=new Float32Array(N*D).fill(1);
const args=[T(idx,[N],Int32Array),T(u,[N,D])];
for (const [name,f] of [["scatter",(i,u)=>jax.grad((w)=>np.take(w,i,0).mul(u).sum())(np.zeros([V,D]))],["onehot",(i,u)=>np.matmul(nn.oneHot(i,V).transpose(),u)]]){
 const p=await compile(f,args,{threads:2}); for(let k=0;k<5;k++)await p.run(...args); const t=performance.now(); for(let k=0;k<30;k++)await p.run(...args); console.log(name,((performance.now()-t)/30).toFixed(2),"ms"); }
