// EdgesegMaxPool and EdgesegMaxUnpool as IPluginV3, for TensorRT 10 and 11.
//
//   EdgesegMaxPool(x)              -> values N,C,h,w of x's type; indices INT8 N,C,h,ceil(w/4)
//   EdgesegMaxUnpool(v, i, like)   -> y of v's type, height and width of `like`
//
// Indices are INT8 bytes: TensorRT allows neither UINT8 nor BOOL on a plugin's tensors.
#include <NvInfer.h>

#include <cstring>
#include <string>
#include <vector>

#include "kernels.cu"

namespace edgeseg {

using namespace nvinfer1;

constexpr int kThreads = 256;
constexpr char const *kVersion = "1";
constexpr char const *kNamespace = "";
constexpr char const *kPool = "EdgesegMaxPool";
constexpr char const *kUnpool = "EdgesegMaxUnpool";

static int blocks(long long items) {
    const long long wanted = (items + kThreads - 1) / kThreads;
    return static_cast<int>(wanted < 65535 ? wanted : 65535);
}

static bool is_data(DataType type) {
    return type == DataType::kINT8 || type == DataType::kHALF || type == DataType::kFLOAT;
}

class Plugin : public IPluginV3,
               public IPluginV3OneCore,
               public IPluginV3OneBuild,
               public IPluginV3OneRuntime {
  public:
    explicit Plugin(bool unpools) : mUnpools(unpools) { mFields.nbFields = 0; }

    IPluginCapability *getCapabilityInterface(PluginCapabilityType type) noexcept override {
        switch (type) {
        case PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore *>(this);
        case PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild *>(this);
        case PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime *>(this);
        }
        return nullptr;
    }
    IPluginV3 *clone() noexcept override { return new Plugin(mUnpools); }

    AsciiChar const *getPluginName() const noexcept override { return mUnpools ? kUnpool : kPool; }
    AsciiChar const *getPluginVersion() const noexcept override { return kVersion; }
    AsciiChar const *getPluginNamespace() const noexcept override { return kNamespace; }

    int32_t getNbOutputs() const noexcept override { return mUnpools ? 1 : 2; }
    int32_t configurePlugin(DynamicPluginTensorDesc const *, int32_t,
                            DynamicPluginTensorDesc const *, int32_t) noexcept override {
        return 0;
    }
    bool supportsFormatCombination(int32_t position, DynamicPluginTensorDesc const *all,
                                   int32_t inputs, int32_t) noexcept override {
        auto const &tensor = all[position].desc;
        if (tensor.format != TensorFormat::kLINEAR) return false;
        const bool indices = mUnpools ? position == 1 : position == inputs + 1;
        if (indices) return tensor.type == DataType::kINT8;
        // The third input of un-pool gives its size only.
        if (mUnpools && position == 2) return is_data(tensor.type);
        return position == 0 ? is_data(tensor.type) : tensor.type == all[0].desc.type;
    }
    int32_t getOutputDataTypes(DataType *outputs, int32_t, DataType const *inputs,
                               int32_t) const noexcept override {
        outputs[0] = inputs[0];
        if (!mUnpools) outputs[1] = DataType::kINT8;
        return 0;
    }
    int32_t getOutputShapes(DimsExprs const *inputs, int32_t, DimsExprs const *, int32_t,
                            DimsExprs *outputs, int32_t, IExprBuilder &make) noexcept override {
        outputs[0] = inputs[0];
        if (mUnpools) {
            outputs[0].d[2] = inputs[2].d[2];
            outputs[0].d[3] = inputs[2].d[3];
            return 0;
        }
        const auto ceil_by = [&make](IDimensionExpr const *size, int by) {
            return make.operation(DimensionOperation::kCEIL_DIV, *size, *make.constant(by));
        };
        outputs[0].d[2] = ceil_by(inputs[0].d[2], 2);
        outputs[0].d[3] = ceil_by(inputs[0].d[3], 2);
        outputs[1] = outputs[0];
        outputs[1].d[3] = ceil_by(inputs[0].d[3], 8);
        return 0;
    }

    int32_t onShapeChange(PluginTensorDesc const *, int32_t, PluginTensorDesc const *,
                          int32_t) noexcept override {
        return 0;
    }
    IPluginV3 *attachToContext(IPluginResourceContext *) noexcept override { return clone(); }
    PluginFieldCollection const *getFieldsToSerialize() noexcept override { return &mFields; }

    int32_t enqueue(PluginTensorDesc const *in, PluginTensorDesc const *out,
                    void const *const *inputs, void *const *outputs, void *,
                    cudaStream_t stream) noexcept override {
        auto const &large = mUnpools ? out[0].dims : in[0].dims;
        const int planes = static_cast<int>(large.d[0] * large.d[1]);
        const int height = static_cast<int>(large.d[2]), width = static_cast<int>(large.d[3]);
        switch (in[0].type) {
        case DataType::kINT8:
            launch(edgeseg_pool_int8, edgeseg_unpool_int8, inputs, outputs, planes, height, width,
                   stream);
            break;
        case DataType::kHALF:
            launch(edgeseg_pool_fp16, edgeseg_unpool_fp16, inputs, outputs, planes, height, width,
                   stream);
            break;
        case DataType::kFLOAT:
            launch(edgeseg_pool_fp32, edgeseg_unpool_fp32, inputs, outputs, planes, height, width,
                   stream);
            break;
        default: return 1;
        }
        return cudaPeekAtLastError() == cudaSuccess ? 0 : 1;
    }

  private:
    template <typename T>
    void launch(void (*pool)(T const *, T *, unsigned char *, int, int, int),
                void (*unpool)(T const *, unsigned char const *, T *, int, int, int),
                void const *const *inputs, void *const *outputs, int planes, int height, int width,
                cudaStream_t stream) {
        const long long bytes = packed_bytes((width + 1) / 2);
        auto const *data = static_cast<T const *>(inputs[0]);
        auto *result = static_cast<T *>(outputs[0]);
        if (mUnpools) {
            auto const *indices = static_cast<unsigned char const *>(inputs[1]);
            unpool<<<blocks(bytes * planes * height), kThreads, 0, stream>>>(data, indices, result,
                                                                            planes, height, width);
        } else {
            auto *indices = static_cast<unsigned char *>(outputs[1]);
            pool<<<blocks(bytes * planes * ((height + 1) / 2)), kThreads, 0, stream>>>(
                data, result, indices, planes, height, width);
        }
    }

    bool mUnpools;
    PluginFieldCollection mFields{};
};

class Creator : public IPluginCreatorV3One {
  public:
    explicit Creator(bool unpools) : mUnpools(unpools) { mFields.nbFields = 0; }
    IPluginV3 *createPlugin(AsciiChar const *, PluginFieldCollection const *,
                            TensorRTPhase) noexcept override {
        return new Plugin(mUnpools);
    }
    PluginFieldCollection const *getFieldNames() noexcept override { return &mFields; }
    AsciiChar const *getPluginName() const noexcept override { return mUnpools ? kUnpool : kPool; }
    AsciiChar const *getPluginVersion() const noexcept override { return kVersion; }
    AsciiChar const *getPluginNamespace() const noexcept override { return kNamespace; }

  private:
    bool mUnpools;
    PluginFieldCollection mFields{};
};

}  // namespace edgeseg

// What IPluginRegistry::loadLibrary looks for.
extern "C" __attribute__((visibility("default"))) void setLoggerFinder(nvinfer1::ILoggerFinder *) {}

extern "C" __attribute__((visibility("default"))) nvinfer1::IPluginCreatorInterface *const *
getCreators(int32_t &count) {
    static edgeseg::Creator pool(false), unpool(true);
    static nvinfer1::IPluginCreatorInterface *const all[] = {&pool, &unpool};
    count = 2;
    return all;
}
